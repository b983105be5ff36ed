/** The rules of positions, one by one. What they are worth together: `resume.test.ts`. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { track, type Tracker } from "../src/tracker.ts";

function at(isWild: boolean, q = 5): Tracker {
  const tracker = track(isWild, undefined);
  tracker._reply({ i: 1, recoverable: true, e: "E", q }, undefined);
  return tracker;
}

test("an_exact_filter_stands_at_its_last_message", () => {
  const tracker = at(false);
  assert.equal(tracker._show(9), true);
  assert.deepEqual(tracker._point(), { e: "E", q: 9 });
});

test("a_wildcard_stands_at_its_last_mark_and_shows_nothing_twice", () => {
  const tracker = at(true);
  for (const sequence of [7, 9, 8]) assert.equal(tracker._show(sequence), true);
  assert.equal(tracker._point()!.q, 5);
  tracker._mark(7);
  tracker._reply({ i: 2, recoverable: true, recovered: true, e: "E", q: 7 }, undefined);
  assert.deepEqual(
    [7, 8, 9, 10].map((sequence) => tracker._show(sequence)),
    [false, false, false, true],
  );
});

test("a_gap_moves_an_exact_filter_and_a_wildcard_only_if_the_stream_has_lost_the_messages", () => {
  const after = (isWild: boolean, why: string): number => {
    const tracker = at(isWild);
    tracker._gap({ i: 1, why, after: 6, upto: 9 });
    return tracker._point()!.q;
  };
  for (const why of ["slow", "conflated", "expired"]) assert.equal(after(false, why), 9);
  assert.equal(after(true, "expired"), 9);
  for (const why of ["slow", "conflated", "later"]) assert.equal(after(true, why), 5);
});

test("a_gap_that_names_a_new_epoch_begins_there", () => {
  const tracker = at(true, 50);
  tracker._show(60);
  tracker._gap({ i: 1, why: "epoch", e: "F", upto: 3 });
  assert.deepEqual(tracker._point(), { e: "F", q: 3 });
  assert.equal(tracker._show(60), true, "another 60");
});

test("a_new_epoch_without_a_name_leaves_nothing_to_resume_from", () => {
  const tracker = at(true);
  tracker._gap({ i: 1, why: "epoch" });
  assert.equal(tracker._point(), undefined);
  assert.equal(tracker._show(1), true);
});

test("an_ephemeral_filter_stands_nowhere", () => {
  const tracker = track(false, { e: "E", q: 5 });
  tracker._reply({ i: 1, recoverable: false, recovered: false, why: "ephemeral" }, undefined);
  assert.equal(tracker._point(), undefined);
});

test("what_is_remembered_beyond_the_mark_is_bounded", () => {
  const tracker = at(true, 0);
  for (let sequence = 1; sequence <= 100_001; sequence++) tracker._show(sequence);
  assert.equal(tracker._show(2), false);
  assert.equal(tracker._show(1), true, "the oldest was forgotten: shown twice rather than lost");
});
