/**
 * One filter as the edge knows it, shared by all subscriptions of the page on it: asks for it on
 * each new connection, keeps the position, and hands messages over once. Owned by the mesh.
 */

import type { Gap, SubscriptionState } from "./api.ts";
import { backoff_ms } from "./retry.ts";
import { MeshError } from "./errors.ts";
import type { Link } from "./link.ts";
import type { Mesh } from "./mesh.ts";
import type { Sub } from "./subscription.ts";
import { track, type Tracker } from "./tracker.ts";
import type { From, Item, Msg, Position, SubscribeReply } from "./wire.ts";

/** How long a filter outlives its last subscription: frameworks mount twice, pages move on. */
const LINGER_MS = 250;
/** The edge's error for a filter that the connection holds. */
const ALREADY_SUBSCRIBED = 105;

/** One filter of the page. */
export interface Feed {
  readonly _state: SubscriptionState;
  /** From where it would resume. */
  _point(): Position | undefined;
  /** One more subscription. Answers false if it cannot share this feed. */
  _add(sub: Sub): boolean;
  _remove(sub: Sub): void;
  /** Asks a connection for the filter, unless it was asked or is not wanted. */
  _ask(link: Link | undefined): void;
  /** The connection is over. */
  _closed(link: Link): void;
  /** Something about this filter came on the connection that it stands on. */
  _item(item: Item): void;
  /** A subscription cannot take more. Nothing happens where others, or the namespace, forbid it. */
  _pause(): void;
  /** It can again, or there is a new one. */
  _resume(): void;
  /** Ends all subscriptions. */
  _fail(error: MeshError): void;
}

export function makeFeed(mesh: Mesh, filter: string): Feed {
  /** Replaced, never changed: a handler may add and remove subscriptions during delivery. */
  let subs: Sub[] = [];
  let state: SubscriptionState = "pending";
  let tracker: Tracker | undefined;
  /** The connection that it stands on, and its id there. */
  let link: Link | undefined;
  let i: number;
  /** The connection that was asked and has not answered. */
  let asked: Link | undefined;
  /** The answer that is on its way is for something that is not wanted any more. */
  let isStale = false;
  /** Where to start, while nothing says where to go on. */
  let from: From | undefined;
  let hdr: string[] | undefined;
  let trace: boolean | undefined;
  /** What the subscriptions agree on: headers and trace, and where they begin. */
  let wishes: string | undefined;
  let start: string;
  /** Whether subscriptions expect to have heard everything up to now. */
  let isContinuous = false;
  let failures = 0;
  let stopLinger: (() => void) | undefined;

  const set = (now: SubscriptionState): void => {
    if (now === state) return;
    state = now;
    for (const sub of subs) sub._set(now);
  };
  const point = (): Position | undefined => tracker?._point();
  const tellGap = (gap: Gap): void => {
    mesh._stats.gaps++;
    for (const sub of subs) sub._gap(gap, point());
  };
  const detach = (): void => {
    link?._feeds.delete(i);
    link = undefined;
  };
  const unsubscribe = (where: Link | undefined, id: number): void => {
    where?._command({ unsubscribe: { i: id } }, () => {}, () => {});
  };
  /** Wants nothing more from the connection that it stands on, or of the answer to come. */
  const leave = (): void => {
    const left = link;
    isStale = true;
    detach();
    unsubscribe(left, i);
  };
  const close = (): void => {
    stopLinger?.();
    leave();
    set("closed");
    mesh._feeds.delete(filter);
  };

  const answered = (
    where: Link,
    reply: SubscribeReply,
    asFrom: From | undefined,
    isBlank: boolean,
  ): void => {
    if (where !== asked) return;
    asked = undefined;
    if (isStale) {
      unsubscribe(where, reply.i);
      return feed._ask(where);
    }
    // On the way from one connection to another, the old one has delivered until this moment.
    detach();
    link = where;
    i = reply.i;
    link._feeds.set(i, feed);
    failures = 0;
    const { recoverable } = reply;
    const isWhole = reply.recovered !== false;
    tracker!._reply(reply, asFrom);
    // A snapshot is asked for again until it is whole.
    if (isWhole && point()) from = undefined;
    set(recoverable && isWhole && !isBlank ? "replaying" : "live");
    for (const sub of subs) sub._confirmed();
    // Where the edge has no positions it tells no gap: only the client knows that it was away.
    if (recoverable ? isContinuous && isBlank : isContinuous || !isWhole) {
      tellGap({ why: recoverable ? "epoch" : "ephemeral" });
    }
    isContinuous = true;
  };

  const refused = (where: Link, error: MeshError): void => {
    if (where !== asked) return;
    asked = undefined;
    if (isStale) return feed._ask(where);
    // A predecessor's subscription may be on its way out still.
    if (!error.retry && error.code !== ALREADY_SUBSCRIBED) return feed._fail(error);
    const wait_ms = error.afterMs + backoff_ms(failures++, mesh._env.random());
    mesh._env.timer(() => where === mesh._target && feed._ask(where), wait_ms);
  };

  const message = (m: Msg): void => {
    const before = point();
    if (!tracker!._show(m.q)) {
      mesh._stats.duplicates++;
      return;
    }
    mesh._stats.messages++;
    for (const sub of subs) sub._push(m, before);
  };

  const feed: Feed = {
    get _state() {
      return state;
    },
    _point: point,

    _add(sub) {
      const options = sub._options;
      const { position } = options;
      const wanted = JSON.stringify([options.headers, options.trace]);
      const begin = options.from || position ? JSON.stringify([options.from, position]) : "";
      stopLinger?.();
      if (subs.length) {
        // Before the first answer, all can begin at the same place; later only at the present.
        const isLate = begin && (isContinuous || begin !== start);
        if (isLate || wanted !== wishes) return false;
      } else {
        // Nobody would notice a new start.
        if (begin || wanted !== wishes) {
          leave();
          tracker = track(/[*>]/.test(filter), position);
          ({ from, headers: hdr, trace } = options);
          isContinuous = false;
          set("pending");
        }
        wishes = wanted;
        start = begin;
      }
      subs = [...subs, sub];
      feed._resume();
      return true;
    },

    _remove(sub) {
      subs = subs.filter((other) => other !== sub);
      if (subs.length || state === "closed") return;
      stopLinger?.();
      stopLinger = mesh._env.timer(close, LINGER_MS);
    },

    _ask(where) {
      const isIdle = state === "paused" || state === "closed";
      if (!where || isIdle || where === asked || where === link) return;
      const recover = point();
      const start = recover ? undefined : from;
      asked = where;
      isStale = false;
      where._command(
        { subscribe: { f: filter, recover, from: start, hdr, trace } },
        (item) => answered(where, item.subscribe!, start, !recover && !start),
        (error) => refused(where, error),
      );
    },

    _closed(where) {
      if (where !== link) return;
      link = undefined;
      if (state !== "paused") set("pending");
    },

    _item({ m, live, pos, gap, unsub }) {
      if (m) message(m);
      if (pos) tracker!._mark(pos.q);
      if (live) {
        tracker!._live(live.q);
        from = undefined;
        set("live");
      }
      if (gap) {
        const { i: _i, e: _e, ...rest } = gap;
        tracker!._gap(gap);
        from = undefined;
        tellGap(rest);
      }
      if (unsub) {
        detach();
        feed._fail(new MeshError(unsub.code, unsub.reason));
      }
    },

    _pause() {
      if (subs.length > 1 || !point()) return;
      leave();
      set("paused");
    },

    _resume() {
      if (state === "paused") set("pending");
      feed._ask(mesh._target);
    },

    _fail(error) {
      const failed = subs;
      subs = [];
      close();
      for (const sub of failed) sub._fail(error);
    },
  };
  return feed;
}
