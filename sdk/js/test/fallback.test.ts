/** The HTTP transport and the choice of transport: real HTTP, with the model of an edge behind. */

import assert from "node:assert/strict";
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, test } from "node:test";
import { fallback } from "../src/fallback.ts";
import { connect, type Mesh } from "../src/index.ts";
import { Connection, World } from "./model.ts";
import { socketClass } from "./socket.ts";

const DEADLINE_MS = 30_000;

let world: World;
let server: Server;
let url: string;
let streams: { connection: Connection; end(): void }[];
/** Status codes for the next commands, before any is taken. */
let refusals: number[];
/** How far numbers of commands have come. */
let taken: number[];

async function bodyOf(request: IncomingMessage): Promise<string> {
  let body = "";
  for await (const chunk of request) body += chunk;
  return body;
}

before(async () => {
  server = createServer(async (request, response) => {
    const body = await bodyOf(request);
    if (request.url === "/v1/stream") {
      const connection = new Connection(world, url, {
        opened() {},
        frame: (frame) => void response.write(`${frame}\n`),
        closed: (code, reason) =>
          void response.end(`${JSON.stringify({ close: { code, reason } })}\n`),
      });
      response.write(`${JSON.stringify({ session: { id: String(streams.length) } })}\n`);
      streams.push({ connection, end: () => response.destroy() });
      world.connections.push(connection);
      request.on("close", () => connection.drop(1006));
      response.on("close", () => connection.drop(1006));
      connection.open();
      connection.send(body);
      return;
    }
    const refusal = refusals.shift();
    if (refusal) return void response.writeHead(refusal).end();
    const [envelope, ...lines] = body.split("\n");
    const { session, seq } = JSON.parse(envelope!);
    taken.push(seq);
    streams[session]?.connection.send(lines.join("\n"));
    response.writeHead(204).end();
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  url = `ws://127.0.0.1:${(server.address() as AddressInfo).port}/v1/ws`;
});
after(() => {
  server.closeAllConnections();
  server.close();
});

async function until(what: string, isTrue: () => boolean): Promise<void> {
  const deadline = Date.now() + DEADLINE_MS;
  while (!isTrue()) {
    if (Date.now() > deadline) throw new Error(`not in time: ${what}`);
    await new Promise((done) => setTimeout(done, 5));
  }
}

const Socket = socketClass(() => world);

async function scene(probeMs: number, run: (mesh: Mesh) => Promise<void>): Promise<void> {
  world = new World();
  streams = [];
  refusals = [];
  taken = [];
  Socket.isBlocked = true;
  Socket.count = 0;
  const mesh = connect(url, { transport: fallback({ probeMs }), WebSocket: Socket as never });
  try {
    await run(mesh);
  } finally {
    mesh.close();
  }
}

test("two_blocked_websockets_lead_to_a_stream_that_does_everything", async () => {
  await scene(DEADLINE_MS, async (mesh) => {
    const seen: number[] = [];
    const sub = mesh.subscribe<number>("orders.a", (message) => seen.push(message.json()));
    await sub.ready();
    assert.equal(Socket.count, 2);
    assert.equal(streams.length, 1);
    for (let n = 1; n <= 5; n++) await mesh.publish("orders.a", n);
    await until("five", () => seen.length === 5);
    assert.deepEqual(taken, [1, 2, 3, 4, 5]);
    assert.equal((await mesh.request("demo.echo", "x")).text(), "hi");
  });
});

test("a_refused_request_is_sent_again_under_its_number_and_order_holds", async () => {
  await scene(DEADLINE_MS, async (mesh) => {
    await mesh.ready();
    refusals = [503, 504];
    const stored = [mesh.publish("orders.a", 1), mesh.publish("orders.a", 2)];
    const last = Promise.resolve().then(() => mesh.publish("orders.a", 3));
    const answers = await Promise.all([...stored, last]);
    assert.deepEqual(
      answers.map(({ q }) => q),
      [1, 2, 3],
    );
    assert.deepEqual(
      world.stored.map(({ d }) => d),
      [1, 2, 3],
    );
    assert.deepEqual(
      taken,
      taken.map((_, at) => at + 1),
    );
  });
});

test("a_broken_stream_resumes_and_a_close_line_is_a_close", async () => {
  await scene(DEADLINE_MS, async (mesh) => {
    const seen: number[] = [];
    const sub = mesh.subscribe<number>("orders.a", (message) => seen.push(message.json()));
    await sub.ready();
    world.publish("orders.a", 1);
    await until("one", () => seen.length === 1);
    streams[0]!.end();
    world.publish("orders.a", 2);
    await until("two", () => seen.length === 2);
    const before = mesh.stats().connections;
    world.connections.at(-1)!.drop(3003, "slow");
    world.publish("orders.a", 3);
    await until("three", () => seen.length === 3);
    assert.deepEqual(seen, [1, 2, 3]);
    assert.ok(mesh.stats().connections > before);
    world.connections.at(-1)!.drop(3501, "protocol error");
    await until("closed", () => mesh.state === "closed");
    assert.equal(mesh.why.code, 3501);
  });
});

test("when_websockets_work_again_the_client_moves_back_without_a_break", async () => {
  await scene(20, async (mesh) => {
    const seen: number[] = [];
    const states: string[] = [];
    const sub = mesh.subscribe<number>("orders.a", (message) => seen.push(message.json()));
    await sub.ready();
    await until("a probe", () => Socket.count > 3);
    mesh.on("state", (state) => states.push(state));
    world.publish("orders.a", 1);
    Socket.isBlocked = false;
    await until("a second connection", () => mesh.stats().connections === 2);
    world.publish("orders.a", 2);
    await until("two", () => seen.length === 2);
    await until("the stream is left", () => !streams[0]!.connection.isUp);
    assert.deepEqual([seen, states], [[1, 2], []]);
  });
});

test("while_nothing_answers_both_transports_are_tried_in_turn", async () => {
  world = new World();
  Socket.isBlocked = true;
  Socket.count = 0;
  const nobody = "ws://127.0.0.1:9/v1/ws";
  const mesh = connect(nobody, {
    transport: fallback(),
    WebSocket: Socket as never,
    env: {
      now: Date.now,
      random: () => 0,
      timer: (call, ms) => (setTimeout(call, ms / 100), () => {}),
    },
  });
  await until("more than two WebSockets", () => Socket.count > 3);
  assert.notEqual(mesh.state, "closed");
  mesh.close();
});
