/**
 * The promise: what was received and what was told as a gap is together what was published, nothing
 * comes twice, and each subject is in order. Random runs, each from its seed, over the model mesh.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import { connect, type Gap, type Mesh, type Position } from "../src/index.ts";
import { Clock } from "./clock.ts";
import { World } from "./model.ts";

const RUNS = Number(process.env["RUNS"] ?? 300);
const FIRST_SEED = Number(process.env["SEED"] ?? 1);
const STEPS = 120;
const URLS = ["ws://a/v1/ws", "ws://b/v1/ws"];

/** A published message; `n` counts over all epochs. */
interface Published {
  n: number;
  s: string;
  q: number;
  e: string;
}

type Event = { n: number; s: string } | { gap: Gap; e: string | undefined };

class Run {
  readonly clock: Clock;
  readonly world = new World();
  readonly mesh: Mesh;
  readonly published: Published[] = [];

  constructor(readonly seed: number) {
    this.clock = new Clock(seed);
    this.world.isMissed = () => this.clock.below(4) === 0;
    this.world.alternates = [URLS[1] as string];
    this.mesh = connect(URLS[0] as string, { env: this.clock, transport: this.world.dial });
  }

  subscribe(filter: string, from?: { last: number }): { events: Event[]; since: number } {
    const events: Event[] = [];
    const sub = this.mesh.subscribe<number>(filter, {
      ...(from && { from }),
      onMessage: (message) => void events.push({ n: message.json(), s: message.subject }),
      onGap: (gap) => void events.push({ gap, e: sub.position?.e }),
    });
    return { events, since: this.published.length };
  }

  publish(): void {
    const s = ["orders.a", "orders.b", "orders.c", "demo.a"][this.clock.below(4)] as string;
    const n = this.published.length;
    const isDurable = s !== "demo.a";
    this.published.push({ n, s, q: isDurable ? this.world.last + 1 : 0, e: this.world.epoch });
    this.world.publish(s, n);
  }

  /** One thing that happens. */
  async step(): Promise<void> {
    const { clock, world } = this;
    const { live } = world;
    const one = live[clock.below(live.length)];
    const dice = clock.below(100);
    if (dice < 50) this.publish();
    else if (dice < 58) await clock.pass(clock.below(400));
    else if (dice < 64) one?.mark();
    else if (dice < 70) one?.repair();
    else if (dice < 76 && one) one.isMute = !one.isMute;
    else if (dice < 84) one?.deliver(clock.below(5));
    else if (dice < 89) one?.drop([1006, 3000, 3003, 1012][clock.below(4)] as number);
    else if (dice < 92) {
      const server = clock.below(2) ? [URLS[clock.below(2)] as string] : [];
      one?.push({ goaway: { why: "drain", server, after_ms: [0, 300], deadline_ms: 1000 } });
    } else if (dice < 95) world.expire(world.last - clock.below(6));
    else if (dice < 97) world.replayMax = clock.below(2) ? 3 : 5000;
    else if (dice < 98) world.renew();
    await clock.settle();
  }

  /** Everything works again, and what is on its way arrives. */
  async end(): Promise<void> {
    const { clock, world } = this;
    world.replayMax = 5000;
    for (let round = 0; round < 5; round++) {
      for (const connection of world.live) {
        connection.isMute = false;
        connection.deliver();
        connection.repair();
      }
      await clock.pass(21_000);
      for (const connection of world.live) connection.push({});
    }
  }
}

/** Whether a gap tells of a message. */
function tells(
  { gap, e }: { gap: Gap; e: string | undefined },
  message: Published,
  epochs: string[],
): boolean {
  const { after = 0, upto = Infinity } = gap;
  if (gap.why === "epoch") {
    // All of older epochs, and of the new one what is up to its place.
    return (
      epochs.indexOf(message.e) < epochs.indexOf(e ?? "") || (message.e === e && message.q <= upto)
    );
  }
  return message.e === e && message.q > after && message.q <= upto;
}

function checkDurable(
  run: Run,
  pattern: RegExp,
  { events, since }: { events: Event[]; since: number },
  what: string,
): void {
  const epochs = [...new Set(run.published.map(({ e }) => e)), run.world.epoch];
  const received = events.flatMap((event) => ("n" in event ? [event.n] : []));
  assert.equal(new Set(received).size, received.length, `${what}: nothing twice`);
  const gaps = events.filter((event) => "gap" in event);
  for (const message of run.published.slice(since)) {
    if (!pattern.test(message.s) || received.includes(message.n)) continue;
    assert.ok(
      gaps.some((gap) => tells(gap, message, epochs)),
      `${what}: lost ${JSON.stringify(message)}`,
    );
  }
  const last = new Map<string, number>();
  for (const event of events) {
    if (!("n" in event)) continue;
    assert.ok(event.n > (last.get(event.s) ?? -1), `${what}: order of ${event.s}`);
    last.set(event.s, event.n);
  }
}

function checkEphemeral(
  run: Run,
  { events, since }: { events: Event[]; since: number },
  what: string,
): void {
  const published = run.published.slice(since).filter(({ s }) => s === "demo.a");
  let next = 0;
  let isTold = false;
  for (const event of events) {
    if ("gap" in event) {
      isTold = true;
      continue;
    }
    const at = published.findIndex(({ n }) => n === event.n);
    assert.ok(at >= next, `${what}: twice or out of order`);
    assert.ok(at === next || isTold, `${what}: lost ${next} without a gap`);
    next = at + 1;
    isTold = false;
  }
  assert.ok(next === published.length || isTold, `${what}: lost the end without a gap`);
}

test("received_and_told_gaps_are_together_what_was_published", async () => {
  let resumes = 0;
  let gaps = 0;
  for (let seed = FIRST_SEED; seed < FIRST_SEED + RUNS; seed++) {
    const run = new Run(seed);
    await run.clock.settle();
    const exact = run.subscribe("orders.a");
    const wild = run.subscribe("orders.>");
    const live = run.subscribe("demo.a");
    await run.clock.settle();
    for (let step = 0; step < STEPS; step++) await run.step();
    await run.end();
    const what = `SEED=${seed} RUNS=1`;
    assert.equal(run.mesh.state, "open", what);
    checkDurable(run, /^orders\.a$/, exact, `${what} exact`);
    checkDurable(run, /^orders\./, wild, `${what} wildcard`);
    checkEphemeral(run, live, `${what} ephemeral`);
    resumes += run.mesh.stats().duplicates;
    gaps += run.mesh.stats().gaps;
    run.mesh.close();
  }
  if (RUNS > 100) assert.ok(resumes > RUNS && gaps > RUNS, "the runs have tried something");
});

test("an_iterator_that_is_read_slowly_loses_nothing_in_random_runs", async () => {
  for (let seed = FIRST_SEED; seed < FIRST_SEED + RUNS / 3; seed++) {
    const run = new Run(seed);
    const { clock, world, mesh } = run;
    const sub = mesh.subscribe<number>(seed % 2 ? "orders.a" : "orders.>", { highWater: 3 });
    const messages = sub[Symbol.asyncIterator]();
    await sub.ready();
    const seen: Position[] = [];
    const received: number[] = [];
    let reading: Promise<unknown> | undefined;
    const read = (): void => {
      reading ??= messages.next().then(({ value, done }) => {
        if (done) return;
        received.push(value.json());
        if (sub.position) seen.push(sub.position);
        reading = undefined;
      });
    };
    for (let step = 0; step < STEPS; step++) {
      const dice = clock.below(10);
      if (dice < 5) run.publish();
      else if (dice < 8) read();
      else if (dice < 9) world.live[0]?.mark();
      else if (clock.below(4) === 0) world.live[0]?.drop(1006);
      await clock.settle();
    }
    for (let round = 0; round < STEPS; round++) {
      read();
      world.live[0]?.repair();
      await clock.pass(500);
      world.live[0]?.push({});
    }
    const pattern = seed % 2 ? /^orders\.a$/ : /^orders\./;
    const expected = run.published.filter(({ s }) => pattern.test(s)).map(({ n }) => n);
    assert.deepEqual(
      [...received].sort((a, b) => a - b),
      expected,
      `SEED=${seed} RUNS=1`,
    );
    assert.ok(seen.every(({ q }, at) => at === 0 || q >= (seen[at - 1] as Position).q));
    mesh.close();
  }
});
