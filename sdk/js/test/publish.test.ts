/** Publishing, under a clock and a network that the test owns. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { A, scene } from "./scene.ts";

test("publish_answers_what_was_proven", async () => {
  const { mesh } = await scene();
  assert.deepEqual(await mesh.publish("demo.a", { hi: 1 }), { ack: "edge" });
  const stored = await mesh.publish("orders.a", 1);
  assert.deepEqual(stored, { ack: "stream", stream: "ORDERS_1", q: 1, dup: false });
  assert.deepEqual(await mesh.publish("demo.a", 1, { ack: "none" }), { ack: "none" });
});

test("a_publish_whose_answer_is_lost_says_so_and_one_with_a_mid_is_repeated", async () => {
  const { clock, world, mesh } = await scene();
  world.connections[0]!.isMute = true;
  const once = mesh.publish("demo.a", 1);
  const again = mesh.publish("orders.a", 2, { ack: "stream" });
  await clock.settle();
  world.connections[0]!.drop(1006);
  await assert.rejects(once, { code: 203 });
  await clock.pass(2000);
  assert.equal((await again).ack, "stream");
  const mids = world.connections
    .flatMap((connection) => connection.commands)
    .flatMap(({ publish }) => publish?.mid ?? []);
  assert.equal(mids.length, 2);
  assert.equal(mids[0], mids[1]);
});

test("a_publish_without_a_connection_waits_for_one_until_its_timeout", async () => {
  const { clock, world, mesh } = await scene();
  world.down.add(A);
  world.connections[0]!.drop(1006);
  const late = mesh.publish("demo.a", 1, { timeout: 1000 });
  await Promise.all([assert.rejects(late, { code: 2 }), clock.pass(1000)]);
  const waiting = mesh.publish("demo.a", 1, { timeout: 60_000 });
  world.down.clear();
  await clock.pass(20_000);
  assert.deepEqual(await waiting, { ack: "edge" });
  const aborted = new AbortController();
  world.connections.at(-1)!.isMute = true;
  const last = mesh.publish("demo.a", 1, { signal: aborted.signal });
  aborted.abort(new Error("mine"));
  await assert.rejects(last, /mine/);
});

test("senders_wait_above_one_mebibyte_and_are_refused_above_four", async () => {
  const { clock, world, mesh } = await scene();
  const connection = world.connections[0]!;
  connection.bufferedAmount = 1_048_577;
  const waiting = mesh.publish("demo.a", 1);
  await clock.pass(500);
  assert.equal(connection.commands.length, 1);
  connection.bufferedAmount = 4_194_305;
  await assert.rejects(mesh.publish("demo.a", 1), { code: 3, retry: true });
  connection.bufferedAmount = 0;
  await clock.pass(50);
  assert.deepEqual(await waiting, { ack: "edge" });
});

test("a_message_that_no_frame_holds_is_refused_before_it_is_sent", async () => {
  const { mesh, world } = await scene();
  await assert.rejects(mesh.publish("demo.a", "x".repeat(70_000)), { code: 206 });
  await mesh.publish("demo.a", "x".repeat(60_000));
  assert.equal(world.connections[0]!.commands.length, 2);
});

test("many_commands_are_split_into_frames_of_64", async () => {
  const { clock, world, mesh } = await scene();
  for (let at = 0; at < 100; at++) void mesh.publish("demo.a", at);
  await clock.settle();
  assert.deepEqual(world.connections[0]!.frames.map((frame) => frame.length), [1, 64, 36]);
});
