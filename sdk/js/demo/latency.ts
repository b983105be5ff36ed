/** The last latencies, and what they come to. Pure. */

/** A minute or so of everything that the page sends to itself. */
const SAMPLES_MAX = 512;

/** Up to here a message is fast, up to there it is on its way: the colours of the map. */
export const FAST_MS = 30;
export const MEDIUM_MS = 150;

export type Speed = "fast" | "medium" | "slow";

export function speed(latency_ms: number): Speed {
  return latency_ms <= FAST_MS ? "fast" : latency_ms <= MEDIUM_MS ? "medium" : "slow";
}

export class Latencies {
  private readonly samples: number[] = [];
  private at = 0;

  add(latency_ms: number): void {
    this.samples[this.at] = latency_ms;
    this.at = (this.at + 1) % SAMPLES_MAX;
  }

  /** The value that a share of the samples do not exceed; undefined without samples. */
  quantile(share: number): number | undefined {
    const sorted = [...this.samples].sort((a, b) => a - b);
    return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)];
  }
}

/** For people: a tenth of a millisecond matters below ten. */
export function inMs(latency_ms: number | undefined): string {
  if (latency_ms === undefined) return "–";
  return `${latency_ms < 10 ? latency_ms.toFixed(1) : Math.round(latency_ms)} ms`;
}
