/** Both codecs against the golden vectors that the edge is tested with too. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { json } from "../src/json.ts";
import { Message, Payload } from "../src/message.ts";
import { pb } from "../src/pb.ts";
import type { Body, Command, Item, Msg } from "../src/wire.ts";

interface Vector {
  name: string;
  line: string;
  also?: string[];
  pb?: string;
  kind: string;
  payload?: { kind: string; base64: string };
}

// eslint-disable-next-line -- vectors are plain JSON
function vectors(name: string): any {
  const folder = process.env["VECTORS"] ?? "../../proto/vectors";
  return JSON.parse(readFileSync(`${folder}/${name}.json`, "utf8"));
}

const bytesOf = (hex: string): ArrayBuffer => Uint8Array.from(Buffer.from(hex, "hex")).buffer;
const hexOf = (bytes: unknown): string => Buffer.from(bytes as Uint8Array).toString("hex");

/** Replaces payloads' spelling by their kind and value, so that the codecs can be compared. */
function plain({ m, request, history, ...item }: Item): unknown {
  const said = <B extends Body>(body: B): unknown => {
    const payload = new Payload(body);
    const { d: _d, t: _t, b: _b, k: _k, ...rest } = body;
    const { kind } = payload;
    return { ...rest, kind, value: kind === "json" ? payload.json() : payload.text() };
  };
  return {
    ...item,
    ...(m && { m: said(m) }),
    ...(request && { request: said(request) }),
    ...(history && { history: { ...history, m: history.m.map(said) } }),
  };
}

test("items_of_the_vectors_are_read_in_every_spelling", () => {
  for (const { name, line, also = [] } of vectors("items").vectors as Vector[]) {
    const [item] = json.decode(line);
    assert.deepEqual(item, JSON.parse(line), name);
    for (const other of also) {
      const [read] = json.decode(other);
      assert.deepEqual(Object.keys(read!).sort(), Object.keys(item!).sort(), name);
    }
  }
});

test("payloads_of_the_vectors_come_out_as_they_went_in", () => {
  for (const { name, line, payload } of vectors("items").vectors as Vector[]) {
    if (!payload) continue;
    const [item] = json.decode(line);
    const read = new Payload((item!.m ?? item!.request)!);
    assert.equal(read.kind, payload.kind, name);
    const bytes = Buffer.from(payload.base64, "base64");
    if (payload.kind === "json") assert.deepEqual(read.json(), JSON.parse(bytes.toString()), name);
    else assert.deepEqual(Buffer.from(read.bytes()), bytes, name);
  }
});

test("what_nats_carries_is_read_by_its_kind", () => {
  for (const { name, line, kind, base64 } of vectors("payloads").from_nats) {
    const [item] = json.decode(line);
    const message = new Message(item!.m as Msg, "demo.eu.1");
    assert.equal(message.kind, kind, name);
    if (kind !== "json")
      assert.equal(Buffer.from(message.bytes()).toString("base64"), base64, name);
    else if (name !== "number_large") {
      assert.deepEqual(message.json(), JSON.parse(Buffer.from(base64, "base64").toString()), name);
    }
  }
});

test("gathered_items_keep_their_order_and_blank_lines_mean_nothing", () => {
  for (const { frame, lines } of vectors("items").frames) {
    assert.deepEqual(
      json.decode(frame),
      lines.map((line: string) => JSON.parse(line)),
    );
  }
  assert.deepEqual(json.decode("\n {}\r\n\n"), [{}]);
});

test("malformed_items_are_refused", () => {
  for (const { name, line } of vectors("items").malformed) {
    assert.throws(() => json.decode(line), name);
  }
  for (const { name, hex } of vectors("pb").malformed) {
    // JSON in a message is read when the application asks for it.
    if (name === "json_that_is_none") {
      const [item] = pb.decode(bytesOf(hex));
      assert.throws(() => new Payload(item!.m!).json(), SyntaxError);
    } else assert.throws(() => pb.decode(bytesOf(hex)), name);
  }
  assert.throws(() => pb.decode("{}"));
});

test("commands_of_the_vectors_are_spelled_the_same_by_json", () => {
  for (const { name, line, kind } of vectors("commands").vectors as Vector[]) {
    if (kind === "heartbeat" || kind === "unserved") continue;
    const command = JSON.parse(line) as Command;
    assert.deepEqual(JSON.parse(json.encode(command) as string), command, name);
  }
});

test("bytes_are_base64_in_json", () => {
  const line = json.encode({ publish: { s: "a", b: Uint8Array.of(251, 255, 0) } });
  assert.equal(line, '{"publish":{"s":"a","b":"+/8A"}}');
});

test("items_of_the_vectors_mean_the_same_in_both_codecs", () => {
  let count = 0;
  for (const { name, line, pb: hex } of vectors("items").vectors as Vector[]) {
    const [item] = pb.decode(bytesOf(hex!));
    assert.deepEqual(plain(item!), plain(JSON.parse(line)), name);
    count++;
  }
  assert.ok(count > 30);
});

test("commands_of_the_vectors_are_spelled_the_same_by_pb", () => {
  for (const { name, line, pb: hex, kind } of vectors("commands").vectors as Vector[]) {
    // The vectors hold what a client may send and this one does not: raw spellings of JSON, and
    // what is malformed.
    const command = JSON.parse(line) as Command;
    const body = command.publish ?? command.request;
    if (hex === undefined || kind === "unserved" || kind === "heartbeat") continue;
    if (body && "d" in body && !line.includes(`"d":${JSON.stringify(body.d)}`)) continue;
    assert.equal(hexOf(pb.encode(command)), hex, name);
  }
});

test("frames_of_pb_are_read_in_order_and_glued_by_the_client", () => {
  for (const { name, hex, lines } of vectors("pb").items) {
    const items = pb.decode(bytesOf(hex));
    if (name === "empty") assert.deepEqual(items, []);
    else assert.equal(items.length, lines.length, name);
  }
  for (const { name, hex } of vectors("pb").skipped)
    assert.doesNotThrow(() => pb.decode(bytesOf(hex)), name);
  const commands: Command[] = [
    { id: 1, connect: {} },
    { id: 2, subscribe: { f: "demo.>" } },
  ];
  const { hex } = vectors("pb").frames.find(({ name }: Vector) => name === "pipelined");
  assert.equal(hexOf(pb.join(commands.map((command) => pb.encode(command)))) + "0a00", hex);
});

test("numbers_up_to_two_to_the_53_survive_pb", () => {
  const q = Number.MAX_SAFE_INTEGER;
  assert.deepEqual(pb.decode(bytesOf("0a0d6a0b080710ffffffffffffff0f")), [{ pos: { i: 7, q } }]);
  const command = pb.encode({ id: 2, subscribe: { f: "a", recover: { e: "E", q } } });
  assert.equal(hexOf(command), "0a1508021a110a0161120c0a014510ffffffffffffff0f");
});

test("random_bytes_never_make_pb_do_anything_but_throw_or_read", () => {
  let seed = 1;
  const random = (): number => (seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0) / 2 ** 32;
  const known = (vectors("items").vectors as Vector[]).flatMap(({ pb: hex }) => (hex ? [hex] : []));
  for (let round = 0; round < 20_000; round++) {
    const bytes = Buffer.from(known[Math.floor(random() * known.length)] ?? "", "hex");
    for (let at = 0; at < 3 && bytes.length; at++) {
      bytes[Math.floor(random() * bytes.length)] = Math.floor(random() * 256);
    }
    try {
      pb.decode(Uint8Array.from(bytes).buffer);
    } catch (error) {
      assert.ok(error instanceof TypeError, String(error));
    }
  }
});
