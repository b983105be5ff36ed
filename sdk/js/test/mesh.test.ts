/** The state machine under a clock and a network that the test owns. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { connect, type Gap, MeshError } from "../src/index.ts";
import { Clock } from "./clock.ts";
import { World } from "./model.ts";
import { A, B, noting, scene } from "./scene.ts";

test("connect_and_all_subscriptions_go_out_in_the_first_frame", async () => {
  const clock = new Clock();
  const world = new World();
  const mesh = connect(A, { env: clock, transport: world.dial, name: "web", version: "1.2" });
  mesh.subscribe("demo.a");
  mesh.subscribe("demo.b");
  await clock.settle();
  const [frame] = world.connections[0]!.frames;
  assert.deepEqual(
    frame!.map((command) => Object.keys(command)[1]),
    ["connect", "subscribe", "subscribe"],
  );
  assert.deepEqual(frame![0]!.connect, {
    name: "web",
    ver: "1.2",
    feat: ["gap", "goaway", "mesh"],
  });
  assert.equal(mesh.state, "open");
  assert.equal(mesh.edge!.node, A);
});

test("a_durable_filter_resumes_from_its_last_message_and_shows_nothing_twice", async () => {
  const { clock, world, mesh } = await scene();
  const { seen, gaps } = noting(mesh, "orders.a");
  await clock.settle();
  world.publish("orders.a", 1);
  world.publish("orders.a", 2);
  world.connections[0]!.drop(1006);
  world.publish("orders.a", 3);
  assert.equal(mesh.state, "waiting");
  assert.deepEqual(mesh.why, { code: 1006, reason: "", retryInMs: 250 });
  await clock.pass(250);
  world.publish("orders.a", 4);
  assert.deepEqual(seen, [1, 2, 3, 4]);
  assert.deepEqual(gaps, []);
  const { recover } = world.connections[1]!.commands[1]!.subscribe!;
  assert.deepEqual(recover, { e: world.epoch, q: 2 });
});

test("a_wildcard_resumes_from_its_mark_and_drops_what_it_has_shown", async () => {
  const { clock, world, mesh } = await scene();
  const { seen } = noting(mesh, "orders.>");
  await clock.settle();
  world.publish("orders.a", 1);
  world.connections[0]!.mark();
  world.publish("orders.b", 2);
  world.publish("orders.c", 3);
  world.connections[0]!.drop(1006);
  world.publish("orders.b", 4);
  await clock.pass(250);
  assert.deepEqual(seen, [1, 2, 3, 4]);
  assert.equal(world.connections[1]!.commands[1]!.subscribe!.recover!.q, 1);
  assert.equal(mesh.stats().duplicates, 2);
});

test("an_ephemeral_filter_tells_a_gap_after_each_loss", async () => {
  const { clock, world, mesh } = await scene();
  const { seen, gaps } = noting(mesh, "demo.a");
  await clock.settle();
  world.publish("demo.a", 1);
  assert.deepEqual(gaps, []);
  world.connections[0]!.drop(1006);
  world.publish("demo.a", 2);
  await clock.pass(250);
  world.publish("demo.a", 3);
  assert.deepEqual(seen, [1, 3]);
  assert.deepEqual(gaps, [{ why: "ephemeral" }]);
});

test("what_the_stream_has_dropped_is_told_and_the_position_moves_behind_it", async () => {
  const { clock, world, mesh } = await scene();
  const { seen, gaps } = noting(mesh, "orders.a");
  await clock.settle();
  world.publish("orders.a", 1);
  world.connections[0]!.drop(1006);
  for (let at = 2; at <= 9; at++) world.publish("orders.a", at);
  world.expire(6);
  await clock.pass(250);
  assert.equal(mesh.subscribe("orders.a").position!.q, 9);
  world.publish("orders.a", 10);
  assert.deepEqual(seen, [1, 10]);
  assert.deepEqual(gaps, [{ after: 1, upto: 9, why: "expired" }]);
});

test("a_gap_that_was_announced_and_not_told_is_told_at_the_next_connection", async () => {
  const { clock, world, mesh } = await scene();
  const { gaps, seen } = noting(mesh, "orders.a");
  await clock.settle();
  world.publish("orders.a", 1);
  world.connections[0]!.drop(1006);
  world.publish("orders.a", 2);
  world.epoch = "ORDERS_2@2";
  const announced = clock.pass(250);
  world.onDial = (connection) => (connection.isMute = true);
  await announced;
  world.connections[1]!.deliver(2);
  assert.deepEqual(gaps, [], "the reply came, and the gap did not");
  world.onDial = undefined;
  world.connections[1]!.drop(1006);
  await clock.pass(1000);
  world.publish("orders.a", 3);
  assert.deepEqual(gaps, [{ after: 1, upto: 2, why: "epoch" }]);
  assert.deepEqual(seen, [1, 3]);
});

test("backoff_has_full_jitter_doubles_and_starts_again_after_ten_seconds_of_life", async () => {
  const { clock, world, mesh } = await scene();
  world.down.add(A);
  world.connections[0]!.drop(1006);
  const delays: number[] = [];
  mesh.on("state", (state) => state === "waiting" && delays.push(mesh.why.retryInMs!));
  delays.push(mesh.why.retryInMs!);
  await clock.pass(60_000);
  assert.deepEqual(delays.slice(0, 8), [250, 500, 1000, 2000, 4000, 8000, 10_000, 10_000]);
  world.down.clear();
  await clock.pass(10_000);
  assert.equal(mesh.state, "open");
  world.live[0]!.drop(1006);
  assert.equal(mesh.why.retryInMs, 10_000, "it has not lived long enough");
  await clock.pass(20_001);
  world.live[0]!.drop(1006);
  assert.equal(mesh.why.retryInMs, 250);
});

test("close_codes_that_end_it_end_it_and_others_do_not", async () => {
  for (const [code, state] of [
    [1000, "closed"],
    [1002, "closed"],
    [1009, "closed"],
    [1001, "waiting"],
    [1012, "waiting"],
    [3000, "waiting"],
    [3003, "waiting"],
    [3499, "waiting"],
    [3501, "closed"],
    [3999, "closed"],
    [4000, "waiting"],
    [4499, "waiting"],
    [4500, "closed"],
  ] as const) {
    const { world, mesh } = await scene();
    mesh.on("error", () => {});
    world.connections[0]!.drop(code, "why");
    assert.equal(mesh.state, state, String(code));
    assert.equal(mesh.why.code, code);
  }
});

test("a_refused_token_is_asked_for_once_more_and_then_it_ends", async () => {
  const reasons: string[] = [];
  const getToken = ({ reason }: { reason: string }): string => (
    reasons.push(reason),
    `t${reasons.length}`
  );
  const clock = new Clock();
  const world = new World();
  world.refuse = 3500;
  const mesh = connect(A, { env: clock, transport: world.dial, getToken });
  const errors: MeshError[] = [];
  mesh.on("error", (error) => errors.push(error));
  await clock.pass(60_000);
  assert.deepEqual(reasons, ["start", "refused"]);
  assert.deepEqual(world.tokens, ["t1", "t2"]);
  assert.equal(mesh.state, "closed");
  assert.deepEqual(
    errors.map(({ code }) => code),
    [3500],
  );
  await assert.rejects(mesh.ready(), { name: "MeshError", code: 3500 });
});

test("a_token_is_kept_until_ten_seconds_before_its_end", async () => {
  const clock = new Clock();
  const world = new World();
  let count = 0;
  const getToken = () => ({ token: `t${++count}`, expiresAt: clock.now() + 60_000 });
  connect(A, { env: clock, transport: world.dial, getToken });
  await clock.settle();
  for (const wait of [20_000, 20_000, 20_000]) {
    await clock.pass(wait);
    world.live[0]!.drop(1006);
    await clock.pass(500);
  }
  assert.deepEqual(world.tokens, ["t1", "t1", "t1", "t2"]);
});

test("a_jwt_tells_its_own_end_and_other_tokens_are_asked_for_each_time", async () => {
  for (const [isJwt, expected] of [
    [true, 1],
    [false, 2],
  ] as const) {
    const clock = new Clock();
    const world = new World();
    let count = 0;
    const body = btoa(JSON.stringify({ exp: clock.now() / 1000 + 3600 }));
    const getToken = async () => (count++, isJwt ? `h.${body}.s` : "opaque");
    connect(A, { env: clock, transport: world.dial, getToken });
    await clock.settle();
    world.live[0]!.drop(1006);
    await clock.pass(500);
    assert.equal(count, expected);
  }
});

test("a_token_source_that_fails_is_asked_again_with_backoff", async () => {
  const clock = new Clock();
  const world = new World();
  let count = 0;
  const getToken = async () => {
    if (++count < 3) throw new Error("no network");
    return "t";
  };
  const mesh = connect(A, { env: clock, transport: world.dial, getToken });
  await clock.settle();
  assert.equal(mesh.state, "waiting");
  assert.match(mesh.why.reason, /no network/);
  await clock.pass(5000);
  assert.equal(mesh.state, "open");
});

test("a_transport_that_throws_is_a_failed_attempt_and_leaves_nothing_behind", async () => {
  const clock = new Clock();
  const world = new World();
  const mesh = connect([A, B], {
    env: clock,
    transport(url, ...rest) {
      if (url === A) throw new Error("blocked by a policy");
      return world.dial(url, ...rest);
    },
  });
  await clock.settle();
  assert.deepEqual([mesh.state, mesh.why.reason], ["waiting", "Error: blocked by a policy"]);
  await clock.pass(60_000);
  assert.deepEqual([mesh.state, mesh.edge?.url], ["open", B]);
  mesh.close();
  await clock.pass(60_000);
  assert.equal(clock.waiting, 0, "no timer is left");
});

test("other_addresses_are_tried_in_order_when_one_fails", async () => {
  const clock = new Clock();
  const world = new World();
  world.down.add(A).add(B);
  world.alternates = ["ws://c/v1/ws", B];
  const mesh = connect([A, B, "ws://c/v1/ws"], { env: clock, transport: world.dial });
  await clock.pass(2000);
  assert.deepEqual(world.dialled, [A, B, "ws://c/v1/ws"]);
  assert.equal(mesh.edge!.url, "ws://c/v1/ws");
});

test("alternates_of_the_connect_reply_are_tried_after_ones_own", async () => {
  const clock = new Clock();
  const world = new World();
  world.alternates = [B];
  const mesh = connect(A, { env: clock, transport: world.dial });
  await clock.settle();
  world.down.add(A);
  world.live[0]!.drop(1006);
  await clock.pass(2000);
  assert.deepEqual(world.dialled, [A, A, B]);
  assert.equal(mesh.state, "open");
});

test("goaway_moves_without_a_break_a_loss_or_a_duplicate", async () => {
  const { clock, world, mesh } = await scene();
  const exact = noting(mesh, "orders.a");
  const wild = noting(mesh, "orders.*");
  await clock.settle();
  const states: string[] = [];
  mesh.on("state", (state) => states.push(state));
  const [old] = world.connections;
  world.publish("orders.a", 1);
  old!.push({ goaway: { why: "drain", server: [B], after_ms: [1000, 3000], deadline_ms: 9000 } });
  await clock.pass(1999);
  assert.equal(world.connections.length, 1, "the delay is in the middle of the range");
  world.publish("orders.a", 2);
  await clock.pass(1);
  const next = world.connections[1]!;
  assert.equal(next.url, B);
  world.publish("orders.a", 3);
  await clock.pass(200);
  world.publish("orders.a", 4);
  assert.equal(old!.isUp, false, "the old one is closed when nothing needs it");
  assert.deepEqual(exact.seen, [1, 2, 3, 4]);
  assert.deepEqual(wild.seen, [1, 2, 3, 4]);
  assert.deepEqual(states, []);
  assert.equal(mesh.edge!.url, B);
});

test("until_the_new_connection_has_answered_the_old_one_delivers", async () => {
  const { clock, world, mesh } = await scene();
  const { seen } = noting(mesh, "orders.a");
  await clock.settle();
  const [old] = world.connections;
  old!.push({ goaway: { why: "drain", server: [B], after_ms: [0, 0], deadline_ms: 9000 } });
  world.onDial = (connection) => (connection.isMute = true);
  await clock.pass(1);
  const next = world.connections[1]!;
  world.publish("orders.a", 1);
  assert.deepEqual(seen, [1]);
  next.deliver();
  await clock.settle();
  world.publish("orders.a", 2);
  assert.deepEqual(seen, [1, 2], "the new one was asked, and has not answered");
  next.isMute = false;
  next.deliver();
  world.publish("orders.a", 3);
  await clock.pass(500);
  assert.deepEqual(seen, [1, 2, 3]);
  assert.equal(old!.isUp, false);
});

test("an_edge_that_falls_silent_is_left_after_two_intervals_and_ten_seconds", async () => {
  const { clock, world, mesh } = await scene();
  await clock.pass(50_000);
  world.connections[0]!.push({});
  await clock.pass(60_000);
  assert.equal(mesh.state, "open");
  await clock.pass(4_000);
  assert.equal(mesh.state, "waiting");
  assert.equal(mesh.why.code, 4001);
});

test("after_a_sleep_frames_that_waited_prove_life", async () => {
  const { clock, world, mesh } = await scene();
  clock.sleep(3_600_000);
  await clock.pass(1);
  world.connections[0]!.push({});
  await clock.pass(1_000);
  assert.equal(mesh.state, "open");
});

test("a_filter_twice_is_one_subscription_and_outlives_a_remount", async () => {
  const { clock, world, mesh } = await scene();
  const first = noting(mesh, "demo.a");
  const second = noting(mesh, "demo.a");
  await clock.settle();
  first.off();
  second.off();
  await clock.pass(249);
  const third = noting(mesh, "demo.a");
  await clock.pass(1000);
  world.publish("demo.a", 1);
  assert.deepEqual([first.seen, second.seen, third.seen], [[], [], [1]]);
  third.off();
  await clock.pass(251);
  const names = world.connections[0]!.commands.map((command) => Object.keys(command)[1]);
  assert.deepEqual(names, ["connect", "subscribe", "unsubscribe"]);
  assert.equal(mesh.stats().subscriptions, 0);
});

test("a_filter_that_is_taken_up_again_while_its_end_is_on_the_way_is_asked_for_again", async () => {
  const { clock, world, mesh } = await scene();
  world.connections[0]!.isMute = true;
  const first = noting(mesh, "orders.a");
  await clock.settle();
  first.off();
  await clock.pass(300);
  const again = noting(mesh, "orders.a");
  await clock.settle();
  world.connections[0]!.isMute = false;
  world.connections[0]!.deliver();
  await clock.pass(5000);
  world.publish("orders.a", 1);
  assert.deepEqual(again.seen, [1]);
});

test("a_throwing_handler_is_reported_and_delivery_goes_on", async (t) => {
  const reported: unknown[] = [];
  t.mock.method(console, "error", (error: unknown) => reported.push(error));
  const { clock, world, mesh } = await scene();
  const seen: number[] = [];
  mesh.subscribe<number>("demo.a", (message) => {
    seen.push(message.json());
    throw new Error("mine");
  });
  await clock.settle();
  world.publish("demo.a", 1);
  world.publish("demo.a", 2);
  assert.deepEqual(seen, [1, 2]);
  assert.equal(reported.length, 2);
});

test("a_refused_filter_rejects_with_the_edges_code", async () => {
  const { clock, mesh } = await scene();
  const errors: MeshError[] = [];
  const sub = mesh.subscribe("nowhere.a", { onError: (error) => errors.push(error) });
  await clock.settle();
  await assert.rejects(sub.ready(), { name: "MeshError", code: 102, retry: false });
  assert.equal(sub.state, "closed");
  assert.equal(errors.length, 1);
  const iterated = mesh.subscribe("nowhere.b")[Symbol.asyncIterator]();
  await assert.rejects(iterated.next(), { code: 102 });
});

test("a_full_iterator_pauses_its_durable_filter_and_loses_nothing", async () => {
  const { clock, world, mesh } = await scene();
  const sub = mesh.subscribe<number>("orders.a", { highWater: 4 });
  const messages = sub[Symbol.asyncIterator]();
  await clock.settle();
  for (let at = 1; at <= 20; at++) world.publish("orders.a", at);
  assert.equal(sub.state, "paused");
  assert.equal(sub.position!.q, 0, "nothing was read yet");
  const seen: number[] = [];
  for (let at = 1; at <= 20; at++) {
    const { value } = await messages.next();
    seen.push(value.json());
    assert.equal(sub.position!.q, at - 1, "the message at hand is not done");
    await clock.settle();
  }
  assert.deepEqual(
    seen,
    Array.from({ length: 20 }, (_, at) => at + 1),
  );
});

test("a_full_iterator_of_an_ephemeral_filter_tells_one_gap_for_what_it_drops", async () => {
  const { clock, world, mesh } = await scene();
  const gaps: Gap[] = [];
  const sub = mesh.subscribe<number>("demo.a", { highWater: 2, onGap: (gap) => gaps.push(gap) });
  const messages = sub[Symbol.asyncIterator]();
  await clock.settle();
  for (let at = 1; at <= 9; at++) world.publish("demo.a", at);
  const seen: number[] = [];
  for (let at = 0; at < 3; at++) seen.push((await messages.next()).value.json());
  assert.deepEqual([seen, gaps], [[1, 2, 3], []]);
  const next = messages.next();
  await clock.settle();
  assert.deepEqual(gaps, [{ why: "buffer", after: undefined, upto: undefined }]);
  world.publish("demo.a", 10);
  assert.equal((await next).value.json(), 10);
});

test("history_comes_first_and_is_not_asked_for_again", async () => {
  const { clock, world, mesh } = await scene();
  for (let at = 1; at <= 5; at++) world.publish("orders.a", at);
  const { seen } = noting(mesh, "orders.a", { from: { last: 2 } });
  await clock.settle();
  world.publish("orders.a", 6);
  world.connections[0]!.drop(1006);
  await clock.pass(1000);
  world.publish("orders.a", 7);
  assert.deepEqual(seen, [4, 5, 6, 7]);
});

test("a_snapshot_that_breaks_off_is_asked_for_again_and_shows_nothing_twice", async () => {
  const { clock, world, mesh } = await scene();
  for (const subject of ["a", "b", "c"]) world.publish(`orders.${subject}`, subject);
  world.connections[0]!.isMute = true;
  const { seen } = noting(mesh, "orders.*", { from: { last_per_subject: true } });
  await clock.settle();
  world.connections[0]!.deliver(2);
  assert.deepEqual(seen, ["a"]);
  world.connections[0]!.drop(1006);
  await clock.pass(1000);
  assert.deepEqual(seen, ["a", "b", "c"]);
});

test("the_end_of_the_mesh_ends_everything_with_a_reason", async () => {
  const { clock, world, mesh } = await scene();
  const sub = mesh.subscribe("demo.a", { onError: () => {} });
  await clock.settle();
  world.connections[0]!.isMute = true;
  const waiting = mesh.publish("demo.a", 1);
  mesh.close();
  await assert.rejects(waiting, MeshError);
  assert.equal(sub.state, "closed");
  assert.equal(mesh.state, "closed");
  assert.equal(world.live.length, 0);
  await assert.rejects(mesh.publish("demo.a"), MeshError);
});
