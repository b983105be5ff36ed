/** Receipts of traced messages, under a network that the test owns. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { traced } from "../src/trace.ts";
import { scene } from "./scene.ts";

const TP = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

test("receipts_are_told_for_sampled_messages_only_and_at_most_five_a_second", async () => {
  const { clock, world, mesh } = await scene();
  const seen: string[] = [];
  mesh.subscribe("demo.t", traced(mesh, (message) => seen.push(message.text())));
  await clock.settle();
  const connection = world.connections[0]!;
  const subscribe = connection.commands.find(({ subscribe }) => subscribe);
  assert.equal(subscribe?.subscribe?.trace, true);
  const receipts = () => connection.commands.flatMap(({ receipt }) => receipt ?? []);
  connection.push({ m: { i: 1, s: "demo.t", t: "plain" } });
  await clock.settle();
  assert.deepEqual([seen, receipts()], [["plain"], []]);
  const before = Date.now() * 1000 - 1_000_000;
  for (let n = 0; n < 8; n++) connection.push({ m: { i: 1, s: "demo.t", t: `${n}`, tp: TP } });
  await clock.settle();
  assert.equal(seen.length, 9);
  assert.equal(receipts().length, 5);
  for (const { tp, at, took } of receipts()) {
    assert.equal(tp, TP);
    assert.ok(at > before && at < Date.now() * 1000 + 1_000_000, `${at}`);
    assert.ok(took >= 0 && Number.isInteger(took));
  }
});

test("a_handler_that_throws_is_told_too", async () => {
  const { clock, world, mesh } = await scene();
  const options = traced(mesh, () => {
    throw new Error("mine");
  });
  mesh.on("error", () => {});
  mesh.subscribe("demo.t", options);
  await clock.settle();
  const connection = world.connections[0]!;
  connection.push({ m: { i: 1, s: "demo.t", t: "x", tp: TP } });
  await clock.settle();
  assert.equal(connection.commands.filter(({ receipt }) => receipt).length, 1);
});
