/**
 * Where a subscription on a durable filter stands, and what it has shown beyond that: the rules of
 * PROTOCOL.md, "Positions". Pure. Owned by its feed.
 *
 * On an exact filter each message moves the position. On a wildcard a message may come before one
 * that belongs ahead of it on another subject, so only the edge's marks move it; what was shown
 * beyond the mark is remembered, and not shown again after a resume.
 */

import type { From, GapItem, Position, SubscribeReply } from "./wire.ts";

/**
 * Most sequences remembered beyond the mark. The edge marks every few seconds; a stream that is
 * faster shows some messages twice after a resume, and loses none.
 */
const SEEN_MAX = 100_000;

export class Tracker {
  /** The epoch; none while there is nothing to resume from. */
  private _e: string | undefined;
  /** Everything up to here was shown, or told as a gap. */
  private _q = -1;
  /** What was shown above `_q`. */
  private _seen = new Set<number>();
  /** A reply's position that counts as soon as the gap that it announces was told. */
  private _next: Position | undefined;
  /** False while a snapshot comes: it says at once where it ends. */
  private _whole = true;

  constructor(
    private readonly _wild: boolean,
    start?: Position,
  ) {
    if (start) {
      this._e = start.e;
      this._q = start.q;
    }
  }

  /** From where a new subscription goes on without a loss, if there is such a place. */
  _point(): Position | undefined {
    return this._e !== undefined && this._whole ? { e: this._e, q: this._q } : undefined;
  }

  /** The subscription stands. `from` is what was asked for, if it was. */
  _reply(reply: SubscribeReply, from: From | undefined): void {
    this._next = undefined;
    if (!reply.recoverable || reply.e === undefined) {
      this._e = undefined;
      return;
    }
    const at = { e: reply.e, q: reply.q ?? 0 };
    if (reply.recovered === false) {
      // Nothing was recovered. The old position holds until the gap was told: were the connection
      // lost before, the next resume would jump over it in silence.
      this._next = at;
    } else if (from && "last_per_subject" in from) {
      // A snapshot that broke off comes again under the same epoch: what was shown stays so.
      if (this._e !== at.e) this._seen.clear();
      this._e = at.e;
      this._whole = false;
    } else if (this._e === at.e) {
      this._whole = true;
      this._mark(at.q);
    } else {
      this._begin(at);
    }
  }

  /** Whether a message is to be shown; not if it already was. */
  _show(sequence: number | undefined): boolean {
    if (this._next) this._begin(this._next);
    if (sequence === undefined || this._e === undefined) return true;
    if (this._whole) {
      if (sequence <= this._q) return false;
      if (!this._wild) {
        this._q = sequence;
        return true;
      }
    }
    if (this._seen.has(sequence)) return false;
    this._seen.add(sequence);
    const [oldest] = this._seen;
    if (this._seen.size > SEEN_MAX) this._seen.delete(oldest as number);
    return true;
  }

  /** Everything up to here was shown. */
  _mark(sequence: number): void {
    if (sequence <= this._q) return;
    this._q = sequence;
    for (const shown of this._seen) if (shown <= sequence) this._seen.delete(shown);
  }

  /** The replay has ended: a snapshot too is whole now. */
  _live(sequence: number): void {
    this._whole = true;
    this._mark(sequence);
  }

  /** A gap was told: what it covers is behind us. */
  _gap(gap: GapItem): void {
    if (this._next) this._begin(this._next);
    else if (gap.why === "epoch") {
      // Without its name nothing of the new epoch can be resumed before the next reply.
      if (gap.e === undefined) this._e = undefined;
      else this._begin({ e: gap.e, q: gap.upto ?? 0 });
    }
    if (gap.upto !== undefined) this._mark(gap.upto);
  }

  private _begin(at: Position): void {
    this._e = at.e;
    this._q = at.q;
    this._seen.clear();
    this._next = undefined;
    this._whole = true;
  }
}
