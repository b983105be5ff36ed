/** Time and chance that a test owns. Timers fire in order when the test lets time pass. */

import type { Env } from "../src/transport.ts";

export class Clock implements Env {
  private _now = 1_000_000;
  private _timers = new Set<{ at: number; call: () => void }>();

  /** Without a seed chance always says 0.5; with one, a small generator (mulberry32) decides. */
  constructor(private _seed?: number) {}

  now = (): number => this._now;

  random = (): number => {
    if (this._seed === undefined) return 0.5;
    this._seed = (this._seed + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this._seed ^ (this._seed >>> 15), 1 | this._seed);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };

  /** Timers that are set. */
  get waiting(): number {
    return this._timers.size;
  }

  /** A whole number from 0 to below `bound`. */
  below(bound: number): number {
    return Math.floor(this.random() * bound);
  }

  timer = (call: () => void, ms: number): (() => void) => {
    const timer = { at: this._now + ms, call };
    this._timers.add(timer);
    return () => void this._timers.delete(timer);
  };

  /** Lets what is queued in this turn happen. */
  async settle(): Promise<void> {
    for (let turn = 0; turn < 8; turn++) await Promise.resolve();
  }

  /** Lets so many ms pass. */
  async pass(ms: number): Promise<void> {
    const until = this._now + ms;
    await this.settle();
    for (;;) {
      const due = [...this._timers]
        .filter((timer) => timer.at <= until)
        .sort((a, b) => a.at - b.at)[0];
      if (!due) break;
      this._timers.delete(due);
      this._now = Math.max(this._now, due.at);
      due.call();
      await this.settle();
    }
    this._now = until;
  }

  /** The machine sleeps: time passes, and no timer fires on the way. */
  sleep(ms: number): void {
    this._now += ms;
  }
}
