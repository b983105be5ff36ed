/**
 * Counts what was published and what came, by number, so that "missed 0" is a sum and not a hope:
 * a message is missed when its stream took it, the subscription has passed its position, it did
 * not come, and no gap told of it. Pure. Owned by the page's stream of orders.
 */

/** Numbers that are remembered to find repeats: hours of orders. */
const SEEN_MAX = 200_000;
/** Gaps that are remembered: an acknowledgement may come later than the gap that covers it. */
const GAPS_MAX = 256;

export class Ledger {
  /** Messages that the stream took. */
  published = 0;
  /** Messages that came, each counted once. */
  received = 0;
  /** Messages that came more than once. */
  repeated = 0;
  /** Messages that a gap told of. */
  told = 0;
  /** Where each number that the stream took stands in it, until its fate is known. */
  private readonly open = new Map<number, number>();
  /** Numbers that came. */
  private readonly seen = new Set<number>();
  /** Numbers that were passed and did not come. */
  private readonly lost = new Set<number>();

  /** Sequences that gaps told of: behind the first, up to the second. */
  private readonly gaps: [after: number, upto: number][] = [];

  /** The stream took a number at a sequence. */
  stored(number: number, sequence: number): void {
    this.published++;
    if (this.seen.has(number)) return;
    if (this.gaps.some(([after, upto]) => sequence > after && sequence <= upto)) this.told++;
    else this.open.set(number, sequence);
  }

  /** A number came. */
  came(number: number): void {
    if (this.seen.has(number)) {
      this.repeated++;
      return;
    }
    this.received++;
    this.seen.add(number);
    this.open.delete(number);
    // A late one was not missed after all: the position was a lie, but the message is here.
    this.lost.delete(number);
    const [oldest] = this.seen;
    if (this.seen.size > SEEN_MAX) this.seen.delete(oldest as number);
  }

  /** A gap told that these sequences may be missing; without an end, everything so far. */
  gap(after = 0, upto = Infinity): void {
    if (upto < Infinity) this.gaps.push([after, upto]);
    if (this.gaps.length > GAPS_MAX) this.gaps.shift();
    for (const [number, sequence] of this.open) {
      if (sequence <= after || sequence > upto) continue;
      this.open.delete(number);
      this.lost.delete(number);
      this.told++;
    }
  }

  /** How many are missed, given that everything up to a sequence has come. */
  missed(position: number): number {
    for (const [number, sequence] of this.open) if (sequence <= position) this.lost.add(number);
    return this.lost.size;
  }
}
