/** When a lost connection is made anew: full jitter, so that clients of a dead edge spread. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { backoff_ms } from "../src/retry.ts";
import { Clock } from "./clock.ts";

test("a_delay_is_anywhere_between_nothing_and_a_bound_that_doubles_up_to_20_s", () => {
  const bounds = [500, 1000, 2000, 4000, 8000, 16_000, 20_000, 20_000];
  bounds.forEach((bound, failures) => {
    assert.equal(backoff_ms(failures, 0), 0);
    assert.equal(backoff_ms(failures, 1), bound);
  });
  assert.equal(backoff_ms(10_000, 1), 20_000, "however many have failed");
});

test("clients_that_lose_an_edge_together_come_back_one_by_one", () => {
  const clock = new Clock(7);
  const delays = Array.from({ length: 1000 }, () => backoff_ms(3, clock.random()));
  for (let tenth = 0; tenth < 10; tenth++) {
    const [from, upto] = [400 * tenth, 400 * (tenth + 1)];
    const count = delays.filter((delay) => delay >= from && delay < upto).length;
    assert.ok(count > 50 && count < 150, `${count} of 1000 between ${from} and ${upto} ms`);
  }
});
