/**
 * One filter as the edge knows it, shared by all subscriptions of the page on it: asks for it on
 * each new connection, keeps the position, and hands messages over once. Owned by the mesh.
 */

import type { Gap, SubscribeOptions, SubscriptionState } from "./api.ts";
import { backoff_ms } from "./retry.ts";
import { MeshError } from "./errors.ts";
import type { Link } from "./link.ts";
import type { Mesh } from "./mesh.ts";
import type { Sub } from "./subscription.ts";
import { Tracker } from "./tracker.ts";
import type { From, Item, Msg, Position, SubscribeReply } from "./wire.ts";

/** How long a filter outlives its last subscription: frameworks mount twice, pages move on. */
const LINGER_MS = 250;
/** The edge's error for a filter that the connection holds. */
const ALREADY_SUBSCRIBED = 105;

export class Feed {
  /** Replaced, never changed: a handler may add and remove subscriptions during delivery. */
  _subs: Sub[] = [];
  _state: SubscriptionState = "pending";
  private _tracker?: Tracker;
  /** The connection that it stands on, and its id there. */
  private _link?: Link | undefined;
  private _i!: number;
  /** The connection that was asked and has not answered. */
  private _asked?: Link | undefined;
  /** The answer that is on its way is for something that is not wanted any more. */
  private _isStale?: boolean;
  private _from?: From | undefined;
  /** Whether subscriptions expect to have heard everything up to now. */
  private _isContinuous?: boolean;
  private _failures = 0;
  private _stopLinger?: () => void;

  private _hdr?: string[] | undefined;
  private _trace?: boolean | undefined;
  /** What the subscriptions agree on: headers and trace, and where they begin. */
  private _wishes?: string;
  private _start?: string;

  constructor(
    private readonly _mesh: Mesh,
    readonly _filter: string,
  ) {}

  _point(): Position | undefined {
    return this._tracker?._point();
  }

  /** One more subscription. Answers false if it cannot share this feed. */
  _add(sub: Sub): boolean {
    const { from, position, headers, trace } = sub._options;
    const wishes = JSON.stringify([headers, trace]);
    const start = from || position ? JSON.stringify([from, position]) : "";
    this._stopLinger?.();
    if (!this._subs.length) {
      // Nobody would notice a new start.
      if (start || wishes !== this._wishes) this._restart(sub._options);
      this._wishes = wishes;
      this._start = start;
    } else {
      // Before the first answer, all can begin at the same place; later only at the present.
      const isLate = start && (this._isContinuous || start !== this._start);
      if (isLate || wishes !== this._wishes) return false;
    }
    this._subs = [...this._subs, sub];
    if (this._state === "paused") this._resume();
    else this._ask(this._mesh._target);
    return true;
  }

  _remove(sub: Sub): void {
    this._subs = this._subs.filter((other) => other !== sub);
    if (this._subs.length || this._state === "closed") return;
    this._stopLinger?.();
    this._stopLinger = this._mesh._env.timer(() => this._close(), LINGER_MS);
  }

  /** Asks a connection for the filter, unless it was asked or is not wanted. */
  _ask(link: Link | undefined): void {
    const isIdle = this._state === "paused" || this._state === "closed";
    if (!link || isIdle || link === this._asked || link === this._link) return;
    const recover = this._point();
    const from = recover ? undefined : this._from;
    const { _hdr: hdr, _trace: trace } = this;
    this._asked = link;
    this._isStale = false;
    link._command(
      { subscribe: { f: this._filter, recover, from, hdr, trace } },
      (item) => this._answered(link, item.subscribe!, from, !recover && !from),
      (error) => this._refused(link, error),
    );
  }

  /** The connection is over. */
  _lost(link: Link): void {
    if (link === this._asked) this._asked = undefined;
    if (link !== this._link) return;
    this._link = undefined;
    if (this._state !== "paused") this._set("pending");
  }

  /** Something about this filter came on the connection that it stands on. */
  _item(item: Item): void {
    const { m, live, pos, gap, unsub } = item;
    if (m) this._message(m);
    if (pos) this._tracker!._mark(pos.q);
    if (live) {
      this._tracker!._live(live.q);
      this._from = undefined;
      this._set("live");
    }
    if (gap) {
      this._tracker!._gap(gap);
      this._from = undefined;
      const { i: _i, e: _e, ...rest } = gap;
      this._gap(rest);
    }
    if (unsub) {
      this._detach();
      this._fail(new MeshError(unsub.code, unsub.reason));
    }
  }

  /** A subscription cannot take more. Answers false if the others, or the namespace, forbid a pause. */
  _pause(): boolean {
    if (this._subs.length > 1 || !this._point()) return false;
    this._leave();
    this._set("paused");
    return true;
  }

  _resume(): void {
    if (this._state !== "paused") return;
    this._set("pending");
    this._ask(this._mesh._target);
  }

  /** Ends all subscriptions. */
  _fail(error: MeshError): void {
    const subs = this._subs;
    this._close();
    for (const sub of subs) sub._fail(error);
  }

  private _close(): void {
    this._stopLinger?.();
    this._leave();
    this._set("closed");
    this._subs = [];
    this._mesh._forget(this);
  }

  private _restart({ from, position, headers, trace }: SubscribeOptions): void {
    const isWild = /(^|\.)[*>](\.|$)/.test(this._filter);
    this._tracker = new Tracker(isWild, position);
    this._from = from;
    this._hdr = headers;
    this._trace = trace;
    this._isContinuous = false;
    this._leave();
    this._set("pending");
  }

  /** Wants nothing more from the connection that it stands on, or of the answer to come. */
  private _leave(): void {
    this._isStale = true;
    const link = this._link;
    const i = this._i;
    this._detach();
    if (link) unsubscribe(link, i);
  }

  private _detach(): void {
    this._link?._feeds.delete(this._i);
    this._link = undefined;
  }

  private _answered(
    link: Link,
    reply: SubscribeReply,
    from: From | undefined,
    isBlank: boolean,
  ): void {
    if (link !== this._asked) return;
    this._asked = undefined;
    if (this._isStale) {
      unsubscribe(link, reply.i);
      return this._ask(link);
    }
    // On the way from one connection to another, the old one has delivered until this moment.
    this._detach();
    this._link = link;
    this._i = reply.i;
    link._feeds.set(reply.i, this);
    this._failures = 0;
    this._tracker!._reply(reply, from);
    const isWhole = reply.recovered !== false;
    const isSnapshot = !!from && "last_per_subject" in from;
    if (isWhole && !isSnapshot) this._from = undefined;
    this._set(reply.recoverable && isWhole && !isBlank ? "replaying" : "live");
    for (const sub of this._subs) sub._confirmed();
    // Where the edge has no positions it tells no gap: only the client knows that it was away.
    if (reply.recoverable ? this._isContinuous && isBlank : this._isContinuous || !isWhole) {
      this._gap({ why: reply.recoverable ? "epoch" : "ephemeral" });
    }
    this._isContinuous = true;
  }

  private _refused(link: Link, error: MeshError): void {
    if (link !== this._asked) return;
    this._asked = undefined;
    if (this._isStale) return this._ask(link);
    // A predecessor's subscription may be on its way out still.
    if (!error.retry && error.code !== ALREADY_SUBSCRIBED) return this._fail(error);
    const { _env } = this._mesh;
    const wait_ms = (error.afterMs ?? 0) + backoff_ms(this._failures++, _env.random());
    this._asked = link;
    _env.timer(() => {
      if (link !== this._asked) return;
      this._asked = undefined;
      this._ask(link);
    }, wait_ms);
  }

  private _message(m: Msg): void {
    const { _stats } = this._mesh;
    const before = this._point();
    if (!this._tracker!._show(m.q)) {
      _stats.duplicates++;
      return;
    }
    _stats.messages++;
    for (const sub of this._subs) sub._push(m, before);
  }

  private _gap(gap: Gap): void {
    this._mesh._stats.gaps++;
    for (const sub of this._subs) sub._gap(gap, this._point());
  }

  private _set(state: SubscriptionState): void {
    if (state === this._state) return;
    this._state = state;
    for (const sub of this._subs) sub._changed(state);
  }
}

function unsubscribe(link: Link, i: number): void {
  const nothing = (): void => {};
  link._command({ unsubscribe: { i } }, nothing, nothing);
}
