/**
 * The mesh as the application holds it: keeps one connection open, moves to another without a
 * break when the edge asks, and keeps the feeds. All time, chance and network come through `Env`
 * and `Dial`, so a test can own them. Owned by the application.
 */

import type * as api from "./api.ts";
import { Caller } from "./caller.ts";
import { CONFLICT, MeshError, report } from "./errors.ts";
import { type Feed, makeFeed } from "./feed.ts";
import { json } from "./json.ts";
import { watchPage } from "./lifecycle.ts";
import { Link } from "./link.ts";
import type { Message } from "./message.ts";
import { backoff_ms, INVALID_TOKEN, LIFE_MS, mayRetry, TOKEN_EXPIRED } from "./retry.ts";
import { guarded, Sub } from "./subscription.ts";
import { tokenSource } from "./token.ts";
import { type Env, environment } from "./transport.ts";
import { webSocket } from "./websocket.ts";
import type { Item } from "./wire.ts";

/** Most addresses that are remembered; edges tell some at each connect. */
const URLS_MAX = 32;
/** How often a connection that was left is looked at, to close it when nothing needs it. */
const RETIRE_LOOK_MS = 100;
/** How often it is looked at before it is closed anyway. */
const RETIRE_LOOKS_MAX = 100;
/** How long the application may take for a token before it is asked again. */
const TOKEN_MS_MAX = 30_000;
/** What the client closes with when its `connect` got an error that may pass. */
const CONNECT_LATER = 4402;
/** The edge's error for a token that it does not take. */
const UNAUTHORIZED = 101;

export class Mesh extends Caller implements api.Mesh {
  readonly _env: Env;
  readonly _stats = { messages: 0, duplicates: 0, gaps: 0, connections: 0 };
  state: api.MeshState = "idle";
  why: api.Why = { code: 0, reason: "" };
  health: api.Health = {};
  /** The connection in use: ready, and the feeds are on it or on their way to it. */
  declare _link?: Link | undefined;
  /** The attempt that is under way, also while `_link` stands. */
  private _next?: Link | undefined;
  readonly _feeds = new Map<string, Feed>();
  private readonly _calls = new Set<[event: string, call: (value: never) => void]>();
  private readonly _token = tokenSource(this._options.getToken);
  /** What the application gave, then what edges told, in the order to try them. */
  private _urls: string[];
  /** Where in it to try next. */
  private _at = 0;
  /** Addresses to try before those: the last `goaway` names them. */
  private _goTo: string[] = [];
  /** A `goaway` told when to make the next attempt, and the timer is set. */
  private _isLeaving?: boolean;
  /** What the timer is set to. */
  private _dueAt = 0;
  private _failures = 0;
  private _isSuspended?: boolean;
  /** Numbers attempts, so that a late token does not start an old one. */
  private _attempt = 0;
  private _stopTimer?: () => void;
  private readonly _end = new AbortController();

  constructor(
    urls: string | string[],
    readonly _options: api.MeshOptions,
  ) {
    super();
    this._env = _options.env ?? environment;
    this._urls = ([] as string[]).concat(urls);
    watchPage(this, this._end.signal);
    void this._dial();
  }

  get edge(): api.Edge | undefined {
    const link = this._link;
    return link && { ...link._info!, url: link._url };
  }

  on<E extends keyof api.MeshEvents>(
    event: E,
    call: (value: api.MeshEvents[E]) => void,
  ): () => void {
    const entry: [string, typeof call] = [event, call];
    this._calls.add(entry);
    return () => void this._calls.delete(entry);
  }

  subscribe<T = unknown, const F extends string = string>(
    filter: F,
    options: api.SubscribeOptions<T, F> | ((message: Message<T, F>) => void) = {},
  ): api.Subscription<T, F> {
    if (typeof options === "function") options = { onMessage: options };
    const { signal } = options;
    const feed = this._feeds.get(filter) ?? makeFeed(this, filter);
    const sub = new Sub<T, F>(this, filter, options, feed);
    this._feeds.set(filter, feed);
    let error = this._ended;
    if (!error && !feed._add(sub)) {
      error = new MeshError(CONFLICT, "conflict");
    }
    if (error) queueMicrotask(() => sub._fail(error));
    signal?.addEventListener("abort", () => sub.off());
    if (signal?.aborted) sub.off();
    return sub;
  }

  stats(): api.Stats {
    return { ...this._stats, subscriptions: this._feeds.size };
  }

  close(): void {
    this._finish(1000, "bye");
  }

  /** Where feeds belong: the connection in use, else the one that is being made. */
  get _target(): Link | undefined {
    return this._link ?? (this._next?._isOpen ? this._next : undefined);
  }

  /** Why commands and subscriptions fail, once it is closed. */
  get _ended(): MeshError | undefined {
    const { why } = this;
    return this.state === "closed" ? new MeshError(why.code, why.reason) : undefined;
  }

  /** Answers whether anybody listens. */
  _emit<E extends keyof api.MeshEvents>(event: E, value: api.MeshEvents[E]): boolean {
    let isHeard = false;
    for (const [name, call] of this._calls) {
      if (name !== event) continue;
      isHeard = true;
      guarded(call, value as never);
    }
    return isHeard;
  }

  _error(error: MeshError): void {
    if (!this._emit("error", error)) report(error);
  }

  _pause(): void {
    if (this._ended) return;
    this._isSuspended = true;
    this._drop();
    this._set("idle");
  }

  _resume(): void {
    if (!this._isSuspended) return this._wake();
    this._isSuspended = false;
    void this._dial();
  }

  _wake(): void {
    if (this._link) this._link._probe();
    else void this._dial();
  }

  _opened(link: Link): void {
    const { name, version: ver, trace, ping } = this._options;
    const { token } = link._options;
    // What the client understands beyond the least.
    const feat = ["gap", "goaway", "mesh"];
    link._command(
      { connect: { token, name, ver, feat, ping, tp: trace?.() } },
      (item) => {
        link._info = item.connect!;
        this._isReady(link);
      },
      ({ code, message }) => {
        // The edge closes as well, but a refused token must not be taken for a busy edge meanwhile.
        link._close(code === UNAUTHORIZED ? INVALID_TOKEN : CONNECT_LATER, message);
      },
    );
    // With no connection in use, the first frame asks for everything. Otherwise the feeds wait for
    // the connect reply, so that a connection that comes to nothing costs no replay.
    if (!this._link) this._ask(link);
  }

  _push(link: Link, { goaway, mesh }: Item): void {
    if (link !== this._link) return;
    if (mesh) {
      this.health = mesh;
      this._emit("health", mesh);
    }
    if (goaway) {
      this._emit("goaway", goaway);
      const [least_ms, most_ms] = goaway.after_ms;
      this._goTo = goaway.server;
      this._isLeaving = true;
      this._later(least_ms + this._env.random() * (most_ms - least_ms));
    }
  }

  _closed(link: Link, code: number, reason: string): void {
    for (const feed of this._feeds.values()) feed._closed(link);
    if (link === this._next) {
      this._next = undefined;
      this._at++;
    } else if (link === this._link) {
      this._link = undefined;
      if (this._env.now() - link._readyAt >= LIFE_MS) this._failures = 0;
    } else return;
    this._retry(code, reason);
  }

  private _isReady(link: Link): void {
    const { _link: old, _urls } = this;
    this._next = undefined;
    this._link = link;
    link._readyAt = this._env.now();
    this._isLeaving = false;
    this._stats.connections++;
    const known = new Set([..._urls, link._url, ...(link._info!.alt ?? [])]);
    this._urls = [...known].slice(0, URLS_MAX);
    this._at = this._urls.indexOf(link._url);
    this._goTo = [];
    this.health = {};
    this._ask(link);
    this._set("open");
    this._flush();
    // The one that was left is closed when its feeds and its commands are elsewhere.
    let looks = 0;
    const look = (): void => {
      const isNeeded = old!._feeds.size + old!._waiting.size && looks++ < RETIRE_LOOKS_MAX;
      if (isNeeded) this._env.timer(look, RETIRE_LOOK_MS);
      else old!._close(1000, "bye");
    };
    if (old) look();
  }

  private _ask(link: Link): void {
    for (const feed of this._feeds.values()) feed._ask(link);
  }

  /** What follows when an attempt has failed or a connection is lost. */
  private _retry(code: number, reason: string): void {
    if (this._ended || this._isSuspended) return;
    // Nothing ends while a connection stands or is being made.
    if (this._next) return this._set("connecting", code, reason);
    if (!this._link) {
      if (code === TOKEN_EXPIRED) this._token._forget("expiry");
      // One more attempt, with another token; `why` tells whether this was it.
      if (code === INVALID_TOKEN && this._options.getToken && this.why.code !== code) {
        this._token._forget("refused");
      } else if (!mayRetry(code)) return this._finish(code, reason);
    }
    if (!this._isLeaving) this._later(backoff_ms(this._failures++, this._env.random()));
    if (!this._link) this._set("waiting", code, reason, this._dueAt - this._env.now());
  }

  private _later(ms: number): void {
    this._stopTimer?.();
    this._dueAt = this._env.now() + ms;
    this._stopTimer = this._env.timer(() => void this._dial(), ms);
  }

  private async _dial(): Promise<void> {
    this._stopTimer?.();
    this._isLeaving = false;
    if (this._next || this._ended || this._isSuspended) return;
    if (!this._link) this._set("connecting", this.why.code, this.why.reason);
    const attempt = ++this._attempt;
    // A token that never comes must not be the end.
    this._later(TOKEN_MS_MAX);
    try {
      const token = await this._token._get(this._env.now());
      if (attempt !== this._attempt) return;
      this._stopTimer!();
      const url = this._goTo.shift() ?? (this._urls[this._at % this._urls.length] as string);
      const options = { codecs: [json], transport: webSocket, ...this._options, token };
      this._next = new Link(this._env, this, url, options, options.transport);
    } catch (error) {
      if (attempt !== this._attempt) return;
      this._at++;
      this._retry(1006, String(error));
    }
  }

  /** Leaves all connections, and forgets the attempt that is under way. */
  private _drop(): void {
    const links = [this._link, this._next];
    this._attempt++;
    this._stopTimer?.();
    this._link = this._next = undefined;
    for (const link of links) link?._close(1000, "bye");
  }

  private _finish(code: number, reason: string): void {
    if (this._ended) return;
    this._end.abort();
    this._set("closed", code, reason);
    const error = this._ended!;
    for (const feed of this._feeds.values()) feed._fail(error);
    this._flush();
    this._drop();
    if (code !== 1000) this._error(error);
  }

  _set(state: api.MeshState, code = 0, reason = "", retryInMs?: number): void {
    const isNews = state !== this.state || state === "waiting";
    this.state = state;
    this.why = { code, reason, retryInMs };
    if (isNews) this._emit("state", state);
  }
}
