/** What tests of pages do again and again: wait, publish numbers, and hold what came against them. */

import assert from "node:assert/strict";
import type { Page } from "playwright-core";
import { WebSocket } from "ws";
import { connect, type Mesh } from "../src/index.ts";
import type { Development } from "../edge/development.ts";

/** For a machine that does much else. */
export const DEADLINE_MS = 60_000;
/** How often a condition is looked at. */
const LOOK_MS = 50;
/** Subjects below a root, so that a wildcard has something to cover. */
const SUBJECTS = 3;
/** How many publishes are on their way at once. */
const WINDOW = 16;

export const pause = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));

/** Waits until something here is true. */
export async function until_true(what: string, isTrue: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + DEADLINE_MS;
  while (!(await isTrue())) {
    if (Date.now() > deadline) throw new Error(`not in time: ${what}`);
    await pause(LOOK_MS);
  }
}

/** Waits for an expression of the page. Evaluated from outside, so that no policy forbids it. */
export async function until(page: Page, expression: string): Promise<void> {
  try {
    await until_true(expression, async () => !!(await page.evaluate(expression)));
  } catch (error) {
    // Where a page keeps what came, it explains most.
    const state = await page.evaluate(`globalThis.seen && { seen: seen.length, gaps, why: globalThis.mesh?.why }`);
    throw new Error(`${error}: ${JSON.stringify(state)}`);
  }
}

/** The page's record of what it received: subject, number, sequence. */
export type Seen = [subject: string, number: number, sequence: number];

/** A page's code that begins a record and subscribes; `options` is the source of connect's. */
export function record(urls: string[], filter: string, options = "{}"): string {
  return `
    seen = []; gaps = []; states = [];
    mesh = client.connect(${JSON.stringify(urls)}, ${options});
    mesh.on("state", (state) => states.push(state));
    sub = mesh.subscribe(${JSON.stringify(filter)}, {
      onMessage: (message) => seen.push([message.subject, message.json().n, message.seq]),
      onGap: (gap) => gaps.push(gap),
    });
    sub.ready()`;
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
  async publishWhile(isWanted: () => boolean | Promise<boolean>): Promise<void> {
    const deadline = Date.now() + DEADLINE_MS;
    while ((await isWanted()) && Date.now() < deadline) {
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
  async assertWhole(page: Page): Promise<{ after?: number; upto?: number; why: string }[]> {
    const stored = [...this.stored];
    const isWhole = `(() => {
      const came = new Set(seen.map(([, n]) => n));
      const isTold = (q) => gaps.some(({ after = 0, upto = Infinity }) => q > after && q <= upto);
      return ${JSON.stringify(stored)}.every(([n, q]) => came.has(n) || isTold(q));
    })()`;
    await until(page, isWhole);
    const { seen, gaps } = (await page.evaluate("({ seen, gaps })")) as { seen: Seen[]; gaps: never[] };
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
    private readonly url: string,
    private readonly token: string,
  ) {}

  static async of({ regions }: Development): Promise<Regions> {
    const { control, control_token } = await (await fetch(`${regions[0]!.http}/demo/mesh.json`)).json();
    return new Regions(control, control_token);
  }

  /** The process of an edge at this moment; none while it is down. */
  async pid(edge: string): Promise<number | undefined> {
    const { regions } = await this.ask("GET", "/dev/state");
    const edges = regions.flatMap((region: { edges: { id: string; pid: number }[] }) => region.edges);
    return edges.find(({ id }: { id: string }) => id === edge)?.pid ?? undefined;
  }

  /** Sends a signal to an edge, which must run. */
  async signal(edge: string, signal: NodeJS.Signals): Promise<void> {
    await until_true(`${edge} runs`, async () => !!(await this.pid(edge)));
    process.kill((await this.pid(edge))!, signal);
  }

  kill(region: string): Promise<unknown> {
    return this.ask("POST", `/dev/regions/${region}/kill`);
  }

  async revive(region: string): Promise<void> {
    await this.ask("POST", `/dev/regions/${region}/revive`);
    await until_true(`${region} is back`, async () => !!(await this.pid(`${region}-1`)));
  }

  // eslint-disable-next-line -- plain JSON
  private async ask(method: string, path: string): Promise<any> {
    const headers = { authorization: `Bearer ${this.token}` };
    const answer = await fetch(this.url + path, { method, headers });
    assert.equal(answer.status, 200, path);
    return answer.json();
  }
}
