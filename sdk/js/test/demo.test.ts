/** What the demo page decides, without a page: filters, counts, latencies, commands. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { matches, mistake } from "../demo/filter.ts";
import { inMs, Latencies, speed } from "../demo/latency.ts";
import { Ledger } from "../demo/ledger.ts";
import { listenLine, meridianLine, natsLine } from "../demo/shell.ts";

const vectors = JSON.parse(readFileSync("../../proto/vectors/subjects.json", "utf8"));

test("a_filter_is_good_here_if_and_only_if_it_is_at_the_edge", () => {
  for (const { text, shows } of vectors.filters_valid)
    assert.equal(mistake(text), undefined, shows);
  for (const { text, shows } of vectors.filters_invalid)
    assert.equal(typeof mistake(text), "string", shows);
});

test("a_filter_matches_here_what_it_matches_at_the_edge", () => {
  for (const { filter, subject, is } of vectors.matches) {
    assert.equal(matches(filter, subject), is, `${filter} ${subject}`);
  }
});

test("a_number_that_was_passed_and_did_not_come_is_missed", () => {
  const ledger = new Ledger();
  for (let n = 0; n < 5; n++) ledger.stored(n, 10 + n);
  for (const n of [0, 1, 3]) ledger.came(n);
  assert.equal(ledger.missed(11), 0, "the position has not passed it");
  assert.equal(ledger.missed(13), 1);
  assert.equal(ledger.missed(14), 2);
  ledger.came(2);
  assert.equal(ledger.missed(14), 1, "late is not lost");
  assert.deepEqual([ledger.published, ledger.received, ledger.repeated], [5, 4, 0]);
});

test("a_number_under_a_gap_is_told_and_not_missed_whichever_is_heard_first", () => {
  const ledger = new Ledger();
  ledger.stored(0, 10);
  ledger.gap(9, 11);
  ledger.stored(1, 11);
  ledger.stored(2, 12);
  assert.equal(ledger.told, 2);
  assert.equal(ledger.missed(12), 1);
});

test("a_number_counts_once_however_often_and_in_whatever_order_it_comes", () => {
  const ledger = new Ledger();
  ledger.came(0);
  ledger.stored(0, 10);
  ledger.came(0);
  assert.deepEqual([ledger.received, ledger.repeated, ledger.missed(10)], [1, 1, 0]);
});

test("quantiles_are_of_the_last_samples_only", () => {
  const latencies = new Latencies();
  assert.equal(latencies.quantile(0.5), undefined);
  for (let n = 1; n <= 100; n++) latencies.add(n);
  assert.deepEqual(
    [latencies.quantile(0.5), latencies.quantile(0.99), latencies.quantile(1)],
    [50, 99, 100],
  );
  for (let n = 0; n < 512; n++) latencies.add(7);
  assert.equal(latencies.quantile(1), 7);
  assert.deepEqual([inMs(undefined), inMs(0.25), inMs(41.7)], ["–", "0.3 ms", "42 ms"]);
  assert.deepEqual([speed(30), speed(150), speed(151)], ["fast", "medium", "slow"]);
});

test("commands_can_be_pasted_into_a_shell", () => {
  const region = {
    name: "eu",
    ws: "ws://h:1/v1/ws",
    http: "http://h:1",
    nats: "nats://app:app@h:2",
  };
  const payload = `{"it's":1}`;
  const isQuoted = `'{"it'\\''s":1}'`;
  assert.equal(
    natsLine(region, "demo.hello", payload),
    `nats --server nats://app:app@h:2 pub demo.hello ${isQuoted}`,
  );
  assert.equal(
    meridianLine(region, "demo.hello", payload),
    `meridian pub --url ws://h:1/v1/ws -- demo.hello ${isQuoted}`,
  );
  assert.equal(listenLine(region, "demo.>"), "curl -N 'http://h:1/v1/sse?f=demo.%3E'");
  assert.equal(natsLine({ ...region, nats: "" }, "demo.a", ""), undefined);
});
