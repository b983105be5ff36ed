/** The client against real edges and real nats-servers, in each codec. */

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { WebSocket } from "ws";
import { connect, type Gap, json, type Mesh, type MeshOptions } from "../src/index.ts";
import { pb } from "../src/pb.ts";
import { fallback } from "../src/fallback.ts";
import { type Development, develop, type Edge } from "./development.ts";

/** For a machine that does much else. */
const DEADLINE_MS = 60_000;

/** One for each codec: edges die here, and come back under another pid. */
let mesh: Development;

/** Subprotocols that edges have chosen. */
const chosen = new Set<string>();
class Socket extends WebSocket {
  constructor(url: string, names: string[]) {
    super(url, names);
    this.addEventListener("open", () => chosen.add(this.protocol));
  }
}

const edge = (region: number): Edge => mesh.regions[region]!.edges[0]!;

async function until(what: string, isTrue: () => boolean): Promise<void> {
  const deadline = Date.now() + DEADLINE_MS;
  while (!isTrue()) {
    if (Date.now() > deadline) throw new Error(`not in time: ${what}`);
    await new Promise((done) => setTimeout(done, 20));
  }
}

/** As behind a proxy that lets none through. */
class Blocked extends WebSocket {
  constructor() {
    super("ws://127.0.0.1:9/");
  }
}

/** How a client of these tests connects, by name. */
const WAYS: [name: string, options: () => MeshOptions][] = [
  ["json", () => ({ codecs: [json], WebSocket: Socket as never })],
  ["pb", () => ({ codecs: [pb, json], WebSocket: Socket as never })],
  ["stream", () => ({ transport: fallback(), WebSocket: Blocked as never })],
];

for (const [codec, way] of WAYS)
  describe(codec, () => {
    before(async () => {
      mesh = await develop();
    });
    after(() => mesh?.stop());
    const meshes: Mesh[] = [];
    const open = (urls: string | string[], options: MeshOptions = {}): Mesh => {
      const opened = connect(urls, { ...way(), ...options });
      meshes.push(opened);
      return opened;
    };
    const claim = (name: string, run: () => Promise<void>): void => {
      test(name, { timeout: 3 * DEADLINE_MS }, async () => {
        try {
          await run();
        } finally {
          for (const opened of meshes.splice(0)) opened.close();
        }
      });
    };

    claim("payloads_of_every_kind_arrive_on_exact_and_wildcard_filters", async () => {
      chosen.clear();
      const client = open(edge(0).ws);
      const seen: unknown[] = [];
      const exact = client.subscribe("demo.a", (message) =>
        seen.push(["exact", message.kind, message.text()]),
      );
      const wild = client.subscribe("demo.*", (message) =>
        seen.push([message.tokens[0], message.kind, message.text()]),
      );
      await Promise.all([exact.ready(), wild.ready()]);
      assert.equal(client.edge!.region, "eu");
      assert.deepEqual([...chosen], codec === "stream" ? [] : [`meridian.v1.${codec}`]);
      for (const data of [{ hi: 1 }, "text", Uint8Array.of(255, 0), undefined]) {
        assert.deepEqual(await client.publish("demo.a", data), { ack: "edge" });
      }
      await until("eight messages", () => seen.length === 8);
      const expected = [
        ["json", '{"hi":1}'],
        ["text", "text"],
        ["bytes", "\ufffd\0"],
        ["empty", ""],
      ];
      for (const who of ["exact", "a"]) {
        assert.deepEqual(
          seen.filter((entry) => (entry as unknown[])[0] === who),
          expected.map((entry) => [who, ...entry]),
        );
      }
    });

    claim("errors_are_typed_at_the_call", async () => {
      const client = open(edge(0).ws);
      await assert.rejects(client.publish("nowhere.a", 1), {
        name: "MeshError",
        code: 102,
        retry: false,
      });
      await assert.rejects(client.publish("demo..a", 1), { code: 207 });
      await assert.rejects(client.request("demo.request.nobody", 1), { code: 201, retry: true });
      await assert.rejects(client.publish("demo.a", 1, { ack: "stream" }), { code: 108 });
      const sub = client.subscribe("nowhere.>", { onError: () => {} });
      await assert.rejects(sub.ready(), { code: 102 });
      assert.equal(client.state, "open");
    });

    claim("a_stored_message_has_a_sequence_and_history_begins_a_subscription", async () => {
      const client = open(edge(1).ws);
      const subject = `orders.${codec}.history`;
      for (let n = 1; n <= 5; n++) {
        const { ack, stream, dup } = await client.publish(subject, n, {
          ack: "stream",
          timeout: DEADLINE_MS,
        });
        assert.deepEqual([ack, typeof stream, dup], ["stream", "string", false]);
      }
      const seen: [number, boolean][] = [];
      const sub = client.subscribe<number>(subject, {
        from: { last: 500 },
        onMessage: (message) => seen.push([message.json(), message.replayed]),
      });
      await sub.ready();
      await until("five", () => seen.length >= 5);
      assert.deepEqual(
        seen.map(([n]) => n),
        [1, 2, 3, 4, 5],
      );
      await client.publish(subject, 6, { ack: "stream" });
      await until("six", () => seen.length === 6);
      assert.equal(sub.position!.e.startsWith("ORDERS"), true);
    });

    claim("history_is_read_in_pages_both_ways", async () => {
      const client = open(edge(2).ws);
      const subject = `orders.${codec}.pages`;
      for (let n = 1; n <= 10; n++)
        await client.publish(subject, n, { ack: "stream", timeout: DEADLINE_MS });
      const live: number[] = [];
      // What is live in this region is in this region's copy.
      const sub = client.subscribe<number>(subject, {
        from: { last: 10 },
        onMessage: (message) => live.push(message.json()),
      });
      await until("the copy has all", () => live.length >= 10);
      const older: number[] = [];
      let page = await client.history<number>(subject, { limit: 4 });
      for (;;) {
        older.unshift(...page.messages.map((message) => message.json()));
        if (!page.more) break;
        page = (await sub.history({ before: page.before, limit: 4 })) as typeof page;
      }
      assert.deepEqual(older, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
      const first = { e: page.after.e, q: page.messages[0]!.seq! };
      const newer = await client.history<number>(subject, { after: first, limit: 3 });
      assert.deepEqual(
        newer.messages.map((message) => message.json()),
        [2, 3, 4],
      );
      assert.equal(newer.more, true);
      await assert.rejects(client.history("demo.a"), { code: 108 });
      await assert.rejects(client.history(subject, { after: { e: "OLD", q: 1 } }), { code: 112 });
    });

    claim("a_killed_edge_costs_nothing_of_a_durable_filter", async () => {
      const publisher = open(edge(2).ws);
      const urls = [edge(0).ws, edge(1).ws];
      const client = open(urls);
      const seen: number[] = [];
      const gaps: Gap[] = [];
      const take = (message: { json(): number }): void => void seen.push(message.json());
      const sub = client.subscribe<number>(`orders.${codec}.*.kill`, {
        onMessage: take,
        onGap: (gap) => gaps.push(gap),
      });
      await sub.ready();
      const total = 600;
      for (let n = 0; n < total; n++) {
        if (n === 200) process.kill(edge(0).pid, "SIGKILL");
        await publisher.publish(`orders.${codec}.${n % 3}.kill`, n, {
          ack: "stream",
          timeout: DEADLINE_MS,
        });
      }
      await until("all", () => seen.length >= total);
      assert.deepEqual(
        [...seen].sort((a, b) => a - b),
        Array.from({ length: total }, (_, n) => n),
      );
      for (const rest of [0, 1, 2]) {
        const one = seen.filter((n) => n % 3 === rest);
        assert.deepEqual(
          one,
          [...one].sort((a, b) => a - b),
          "each subject in order",
        );
      }
      assert.deepEqual(gaps, []);
      assert.ok(client.stats().connections > 1);
    });

    claim("a_draining_edge_is_left_without_a_break", async () => {
      const region = 2;
      const client = open(edge(region).ws);
      const publisher = open(edge(0).ws);
      const states: string[] = [];
      const seen: number[] = [];
      const gaps: Gap[] = [];
      const sub = client.subscribe<number>(`orders.${codec}.drain`, {
        onMessage: (message) => seen.push(message.json()),
        onGap: (gap) => gaps.push(gap),
      });
      await sub.ready();
      client.on("state", (state) => states.push(state));
      const { node } = client.edge!;
      process.kill(edge(region).pid, "SIGTERM");
      let n = 0;
      const publish = (): Promise<unknown> =>
        publisher.publish(`orders.${codec}.drain`, n++, { ack: "stream", timeout: DEADLINE_MS });
      const deadline = Date.now() + DEADLINE_MS;
      while (client.edge?.node === node && Date.now() < deadline) await publish();
      for (let more = 0; more < 50; more++) await publish();
      await until("all", () => seen.length >= n);
      assert.deepEqual(
        seen,
        Array.from({ length: n }, (_, at) => at),
      );
      assert.notEqual(client.edge!.node, node);
      assert.deepEqual([states, gaps], [[], []]);
    });
  });
