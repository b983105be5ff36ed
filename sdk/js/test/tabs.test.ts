/** Pages and their worker over real message ports, with the model of the mesh behind the worker. */

import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import type { Gap, Mesh } from "../src/index.ts";
import { connectShared, type SharedOptions } from "../src/tabs.ts";
import { serve } from "../src/tabs/serve.ts";
import { World } from "./model.ts";
import { socketClass } from "./socket.ts";

const DEADLINE_MS = 30_000;

let world = new World();
Object.assign(globalThis, { WebSocket: socketClass(() => world) });

const meshes: Mesh[] = [];
const ports: MessagePort[] = [];
/** Each test has addresses of its own, and so a connection of its own in the worker. */
let url = "";
let count = 0;

function page(options: SharedOptions = {}): Mesh {
  const mesh = connectShared(
    url,
    () => {
      const { port1, port2 } = new MessageChannel();
      ports.push(port1 as never, port2 as never);
      serve(port2 as never);
      return { port: port1 } as never;
    },
    options,
  );
  meshes.push(mesh);
  return mesh;
}

function begin(): void {
  world = new World();
  url = `ws://edge-${count++}/v1/ws`;
}

afterEach(async () => {
  for (const mesh of meshes.splice(0)) mesh.close();
  await new Promise((done) => setTimeout(done, 10));
  for (const port of ports.splice(0)) port.close();
});

async function until(what: string, isTrue: () => boolean): Promise<void> {
  const deadline = Date.now() + DEADLINE_MS;
  while (!isTrue()) {
    if (Date.now() > deadline) throw new Error(`not in time: ${what}`);
    await new Promise((done) => setTimeout(done, 5));
  }
}

function noting(
  mesh: Mesh,
  filter: string,
  options = {},
): { seen: number[]; gaps: Gap[]; ready: Promise<void> } {
  const seen: number[] = [];
  const gaps: Gap[] = [];
  const sub = mesh.subscribe<number>(filter, {
    onMessage: (message) => void seen.push(message.json()),
    onGap: (gap) => void gaps.push(gap),
    ...options,
  });
  return { seen, gaps, ready: sub.ready() };
}

test("pages_share_one_connection_and_one_subscription", async () => {
  begin();
  const notes = [page(), page(), page()].map((mesh) => noting(mesh, "orders.a"));
  await Promise.all(notes.map(({ ready }) => ready));
  assert.equal(world.connections.length, 1);
  assert.equal(world.connections[0]!.held.size, 1);
  assert.deepEqual(await meshes[1]!.publish("orders.a", 1), {
    ack: "stream",
    stream: "ORDERS_1",
    q: 1,
    dup: false,
  });
  await until("each has it", () => notes.every(({ seen }) => seen.length === 1));
  assert.equal((await meshes[2]!.request("demo.echo", "x")).text(), "hi");
  await assert.rejects(meshes[0]!.subscribe("nowhere.a", { onError() {} }).ready(), { code: 102 });
});

test("a_loss_in_the_worker_is_resumed_there_and_seen_by_the_pages_as_a_state", async () => {
  begin();
  const mesh = page();
  const states: string[] = [];
  const exact = noting(mesh, "orders.a");
  const wild = noting(mesh, "orders.*");
  const live = noting(mesh, "demo.a");
  await Promise.all([exact.ready, wild.ready, live.ready]);
  mesh.on("state", (state) => states.push(state));
  world.publish("orders.a", 1);
  world.live[0]!.drop(1006);
  world.publish("orders.a", 2);
  await until("two", () => wild.seen.length === 2 && exact.seen.length === 2);
  await until("open", () => mesh.state === "open");
  assert.deepEqual(states, ["waiting", "connecting", "open"]);
  assert.deepEqual([exact.gaps, wild.gaps, live.gaps], [[], [], [{ why: "ephemeral" }]]);
});

test("a_page_that_comes_back_with_a_position_misses_nothing", async () => {
  begin();
  const mesh = page();
  const first = noting(mesh, "orders.a");
  await first.ready;
  world.publish("orders.a", 1);
  await until("one", () => first.seen.length === 1);
  const { position } = mesh.subscribe("orders.a");
  assert.equal(position!.q, 1);
  mesh.close();
  await until("its subscription is gone", () => world.connections[0]!.held.size === 0);
  world.publish("orders.a", 2);
  const again = noting(page(), "orders.a", { position });
  await again.ready;
  world.publish("orders.a", 3);
  await until("two more", () => again.seen.length === 2);
  assert.deepEqual([again.seen, again.gaps], [[2, 3], []]);
});

test("a_position_beside_other_pages_is_served_from_history", async () => {
  begin();
  for (let n = 1; n <= 600; n++) world.publish("orders.a", n);
  const other = noting(page(), "orders.a");
  await other.ready;
  const late = noting(page(), "orders.a", { position: { e: world.epoch, q: 0 } });
  const last = noting(page(), "orders.a", { from: { last: 2 } });
  await Promise.all([late.ready, last.ready]);
  world.publish("orders.a", 601);
  await until("all", () => late.seen.length === 601 && last.seen.length === 3);
  assert.deepEqual(
    late.seen,
    Array.from({ length: 601 }, (_, n) => n + 1),
  );
  assert.deepEqual([last.seen, other.seen, late.gaps], [[599, 600, 601], [601], []]);
});

test("a_position_of_another_epoch_or_beyond_what_history_brings_is_told_as_a_gap", async () => {
  begin();
  world.publish("orders.a", 1);
  await noting(page(), "orders.a").ready;
  const other = noting(page(), "orders.a", { position: { e: "OLD", q: 77 } });
  await other.ready;
  await until("a gap", () => other.gaps.length === 1);
  assert.deepEqual(other.gaps, [{ why: "epoch", after: 77, upto: 1 }]);
  world.publish("orders.a", 2);
  await until("two", () => other.seen.length === 1);
});

test("the_worker_asks_a_page_for_its_token", async () => {
  begin();
  const reasons: string[] = [];
  const getToken = ({ reason }: { reason: string }): string => (
    reasons.push(reason),
    `t${reasons.length}`
  );
  const mesh = page({ getToken });
  await mesh.ready();
  assert.deepEqual(world.tokens, ["t1"]);
  world.refuse = 3500;
  world.live[0]!.drop(3002);
  await until("refused twice", () => world.tokens.length === 3);
  await until("closed", () => mesh.state === "closed");
  assert.equal(mesh.why.code, 3500);
  assert.deepEqual(reasons.slice(0, 3), ["start", "expiry", "refused"]);
});

test("pages_that_leave_leave_the_others_alone", async () => {
  begin();
  const [first, second] = [page(), page()];
  const notes = [noting(first, "orders.a"), noting(second, "orders.a")];
  await Promise.all(notes.map(({ ready }) => ready));
  first.close();
  world.publish("orders.a", 1);
  await until("one", () => notes[1]!.seen.length === 1);
  assert.deepEqual(notes[0]!.seen, []);
});
