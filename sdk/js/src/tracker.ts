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

/** The position of one subscription. */
export interface Tracker {
  /** From where a new subscription goes on without a loss, if there is such a place. */
  _point(): Position | undefined;
  /** The subscription stands. `from` is what was asked for, if it was. */
  _reply(reply: SubscribeReply, from: From | undefined): void;
  /** Whether a message is to be shown; not if it already was. */
  _show(sequence: number | undefined): boolean;
  /** Everything up to here was shown. */
  _mark(sequence: number): void;
  /** The replay has ended: a snapshot too is whole now. */
  _live(sequence: number): void;
  /** A gap was told: what it covers is behind us. */
  _gap(gap: GapItem): void;
}

export function track(isWild: boolean, start: Position | undefined): Tracker {
  /** The epoch; none while there is nothing to resume from. */
  let epoch = start?.e;
  /** Everything up to here was shown, or told as a gap. */
  let mark = start ? start.q : -1;
  /** A reply's position that counts as soon as the gap that it announces was told. */
  let next: Position | undefined;
  /** False while a snapshot comes: it says at once where it ends. */
  let isWhole = true;
  /** What was shown above the mark. */
  const seen = new Set<number>();

  const begin = (at: Position): void => {
    epoch = at.e;
    mark = at.q;
    next = undefined;
    isWhole = true;
    seen.clear();
  };
  const moveTo = (sequence: number): void => {
    if (sequence <= mark) return;
    mark = sequence;
    for (const shown of seen) if (shown <= sequence) seen.delete(shown);
  };

  return {
    _point: () => (epoch !== undefined && isWhole ? { e: epoch, q: mark } : undefined),
    _mark: moveTo,

    _reply({ recoverable, recovered, e, q = 0 }, from) {
      next = undefined;
      if (!recoverable || e === undefined) {
        epoch = undefined;
      } else if (recovered === false) {
        // Nothing was recovered. The old position holds until the gap was told: were the
        // connection lost before, the next resume would jump over it in silence.
        next = { e, q };
      } else if (from && "last_per_subject" in from) {
        // A snapshot that broke off comes again under the same epoch: what was shown stays so.
        if (epoch !== e) seen.clear();
        epoch = e;
        isWhole = false;
      } else if (epoch === e) {
        moveTo(q);
      } else {
        begin({ e, q });
      }
    },

    _show(sequence) {
      if (next) begin(next);
      if (sequence === undefined || epoch === undefined) return true;
      if (isWhole) {
        if (sequence <= mark) return false;
        if (!isWild) {
          mark = sequence;
          return true;
        }
      }
      if (seen.has(sequence)) return false;
      seen.add(sequence);
      const [oldest] = seen;
      if (seen.size > SEEN_MAX) seen.delete(oldest as number);
      return true;
    },

    _live(sequence) {
      isWhole = true;
      moveTo(sequence);
    },

    _gap({ why, e, upto }) {
      if (e !== undefined) begin({ e, q: upto ?? 0 });
      else if (next) begin(next);
      // Without its name nothing of the new epoch can be resumed before the next reply.
      else if (why === "epoch") epoch = e;
      // Under a wildcard, what was only dropped on its way does not move the mark: messages below
      // it may still come. These are missing from the stream itself.
      if (!isWild || ["expired", "epoch", "limit"].includes(why)) moveTo(upto ?? 0);
    },
  };
}
