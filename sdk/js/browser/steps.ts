/** What tests of pages do: wait, publish numbers, and hold what came against them. */

import assert from "node:assert/strict";
import { WebSocket } from "ws";
import type { RegionState } from "../demo/control.ts";
import { connect, type Mesh } from "../src/index.ts";
import type { Development, Edge } from "../edge/development.ts";

/** For a machine that does much else, and for a mirror that has just been started again. */
export const DEADLINE_MS = 90_000;
/** How often a condition is looked at. */
const LOOK_MS = 50;
/** Subjects below a root, so that a wildcard has something to cover. */
const SUBJECTS = 3;
/** How many publishes are on their way at once. */
const WINDOW = 16;

/** A page, as far as these need one. */
export interface Evaluating {
  evaluate(expression: string): Promise<unknown>;
}

export const pause = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));

/** Waits until something here is true. */
export async function until_true(
  what: string,
  isTrue: () => boolean | Promise<boolean>,
): Promise<void> {
  const deadline = Date.now() + DEADLINE_MS;
  while (!(await isTrue())) {
    if (Date.now() > deadline) throw new Error(`not in time: ${what}`);
    await pause(LOOK_MS);
  }
}

/** What the driver says when the page leaves, or comes back, while it is asked. */
const LEAVING = /context was destroyed|Cannot find context/;

/** Waits for an expression of the page. Evaluated from outside, so that no policy forbids it. */
export async function until(page: Evaluating, expression: string): Promise<void> {
  try {
    await until_true(expression, async () => {
      try {
        return !!(await page.evaluate(expression));
      } catch (error) {
        if (LEAVING.test(String(error))) return false;
        throw error;
      }
    });
  } catch (error) {
    // Where a page keeps what came, it explains most.
    const state = await page.evaluate(`globalThis.seen && {
      seen: seen.length, gaps, why: globalThis.mesh?.why, sub: globalThis.sub?.state,
      edge: globalThis.mesh?.edge?.node, health: globalThis.mesh?.health,
    }`);
    throw new Error(`${error}: ${JSON.stringify(state)}`);
  }
}

/** The page's record of what it received: subject, number, sequence. */
export type Seen = [subject: string, number: number, sequence: number];

/** Begins the page's record and subscribes; `options` is the source of connect's. */
export async function record(
  page: Evaluating,
  urls: string[],
  filter: string,
  options = "{}",
): Promise<void> {
  await page.evaluate(`
    seen = []; gaps = []; states = [];
    mesh = client.connect(${JSON.stringify(urls)}, ${options});
    mesh.on("state", (state) => states.push(state));
    sub = mesh.subscribe(${JSON.stringify(filter)}, {
      onMessage: (message) => seen.push([message.subject, message.json().n, message.seq]),
      onGap: (gap) => gaps.push(gap),
    });
    0`);
  await until(page, `sub.state === "live"`);
  await page.evaluate("states.length = 0; before = mesh.stats().connections; 0");
}

/** Publishes numbers below a root, from outside of the browser, each stored once. */
export class Numbers {
  /** The sequence of each number. */
  readonly stored = new Map<number, number>();
  private readonly mesh: Mesh;
  private next = 0;

  constructor(
    url: string,
    private readonly root: string,
    private readonly padding = 0,
  ) {
    this.mesh = connect(url, { WebSocket: WebSocket as never });
  }

  async publish(count: number): Promise<void> {
    const end = this.next + count;
    const one = async (): Promise<void> => {
      while (this.next < end) {
        const n = this.next++;
        const data = { n, padding: "x".repeat(this.padding) };
        const options = { ack: "stream", timeout: DEADLINE_MS } as const;
        const { q } = await this.mesh.publish(`${this.root}.${n % SUBJECTS}`, data, options);
        this.stored.set(n, q!);
      }
    };
    await Promise.all(Array.from({ length: WINDOW }, one));
  }

  /** Publishes until something has come true, and a little beyond. */
  async publishUntil(isDone: () => Promise<unknown>): Promise<void> {
    const deadline = Date.now() + DEADLINE_MS;
    while (!(await isDone())) {
      if (Date.now() > deadline) throw new Error(`not in time: ${isDone}`);
      await this.publish(WINDOW);
      await pause(LOOK_MS);
    }
    await this.publish(WINDOW);
  }

  close(): void {
    this.mesh.close();
  }

  /**
   * The invariant: what a page received, and what it was told as gaps, is together what was
   * published; nothing twice, nothing else, and each subject in the order of its sequences.
   * `seen` and `gaps` are the page's. Answers the gaps.
   */
  async assertWhole(page: Evaluating): Promise<{ after?: number; upto?: number; why: string }[]> {
    const stored = [...this.stored];
    const isWhole = `(() => {
      const came = new Set(seen.map(([, n]) => n));
      const isTold = (q) => gaps.some(({ after = 0, upto = Infinity }) => q > after && q <= upto);
      return ${JSON.stringify(stored)}.every(([n, q]) => came.has(n) || isTold(q));
    })()`;
    await until(page, isWhole);
    const { seen, gaps } = (await page.evaluate("({ seen, gaps })")) as {
      seen: Seen[];
      gaps: never[];
    };
    assert.equal(new Set(seen.map(([, n]) => n)).size, seen.length, "nothing twice");
    const last = new Map<string, number>();
    for (const [subject, n, q] of seen) {
      assert.equal(this.stored.get(n), q, `${n} at ${q} was published`);
      assert.ok(q > (last.get(subject) ?? 0), `${subject} in order`);
      last.set(subject, q);
    }
    return gaps;
  }
}

/** The orders of `meridian dev`, as the demo page gives them. */
export class Regions {
  private constructor(
    private readonly mesh: Development,
    private readonly url: string,
    private readonly token: string,
  ) {}

  static async of(mesh: Development): Promise<Regions> {
    const at = `${mesh.regions[0]!.http}/demo/mesh.json`;
    const { control, control_token } = await (await fetch(at)).json();
    return new Regions(mesh, control, control_token);
  }

  /** Waits until every edge takes clients: one that was killed is started again by itself. */
  async allReady(): Promise<void> {
    const isReady = ({ admin }: Edge): Promise<boolean> =>
      fetch(`${admin}/readyz`).then(
        ({ ok }) => ok,
        () => false,
      );
    for (const edge of this.mesh.regions.flatMap(({ edges }) => edges)) {
      await until_true(`${edge.id} is ready`, () => isReady(edge));
    }
  }

  /** Sends a signal to an edge, which must run. */
  async signal(edge: string, signal: NodeJS.Signals): Promise<void> {
    const { regions } = await this.ask("GET", "/dev/state");
    const edges = regions.flatMap((region) => region.edges);
    const pid = edges.find(({ id }) => id === edge)?.pid;
    assert.ok(pid, `${edge} runs`);
    process.kill(pid, signal);
  }

  kill(region: string): Promise<unknown> {
    return this.ask("POST", `/dev/regions/${region}/kill`);
  }

  async revive(region: string): Promise<void> {
    await this.ask("POST", `/dev/regions/${region}/revive`);
    await this.allReady();
  }

  private async ask(method: string, path: string): Promise<{ regions: RegionState[] }> {
    const headers = { authorization: `Bearer ${this.token}` };
    const answer = await fetch(this.url + path, { method, headers });
    assert.equal(answer.status, 200, path);
    return answer.json() as Promise<{ regions: RegionState[] }>;
  }
}
