/**
 * The mesh as the application holds it: keeps one connection open, moves to another without a
 * break when the edge asks, and keeps the feeds. All time, chance and network come through `Env`
 * and `Dial`, so a test can own them. Owned by the application.
 */

import type * as api from "./api.ts";
import { backoff_ms, goesElsewhere, INVALID_TOKEN, LIFE_MS, mayRetry, TOKEN_EXPIRED } from "./retry.ts";
import { Commands } from "./commands.ts";
import { LOCAL, MeshError, report } from "./errors.ts";
import { Feed } from "./feed.ts";
import { json } from "./json.ts";
import { watchPage } from "./lifecycle.ts";
import { Link } from "./link.ts";
import type { Data, Message, Payload } from "./message.ts";
import { guarded, Sub } from "./subscription.ts";
import { TokenSource } from "./token.ts";
import { type Env, environment } from "./transport.ts";
import { webSocket } from "./websocket.ts";
import type { GoAway, Item } from "./wire.ts";

/** Most addresses that are remembered; edges tell some at each connect. */
const URLS_MAX = 32;
/** How often a connection that was left is looked at, to close it when nothing needs it. */
const RETIRE_LOOK_MS = 100;
/** The longest that it stays. */
const RETIRE_MS_MAX = 10_000;
/** What the client closes with when its `connect` got an error that may, or will not, pass. */
const CONNECT_LATER = 4402;
const CONNECT_REFUSED = 4502;
/** What the client understands beyond the least. */
const FEATURES = ["gap", "goaway", "mesh"];

export class Mesh implements api.Mesh {
  readonly _env: Env;
  readonly _stats = { messages: 0, duplicates: 0, gaps: 0, connections: 0 };
  /** The connection in use: ready, and the feeds are on it or on their way to it. */
  _link: Link | undefined;
  /** The attempt that is under way, also while `_link` stands. */
  private _next: Link | undefined;
  private _state: api.MeshState = "idle";
  private _why: api.Why = { code: 0, reason: "" };
  private _health: api.Health = { degraded: [], stale: [], readonly: [] };
  private readonly _feeds = new Map<string, Feed>();
  private readonly _calls = new Map<string, Set<(value: never) => void>>();
  private readonly _commands: Commands;
  private readonly _token: TokenSource;
  /** What the application gave, then what edges told, in the order to try them. */
  private _urls: string[];
  private _at = 0;
  private _failures = 0;
  /** A new token was asked for after a refusal: once. */
  private _isLastChance = false;
  private _isSuspended = false;
  /** Numbers attempts, so that a late token does not start an old one. */
  private _attempt = 0;
  /** A `goaway` told not to come back before this. */
  private _notBefore = 0;
  private _stopTimer = (): void => {};
  private _stopWatch: () => void;

  constructor(
    urls: string | string[],
    private readonly _options: api.MeshOptions,
  ) {
    this._env = _options.env ?? environment;
    this._urls = ([] as string[]).concat(urls);
    this._token = new TokenSource(_options.getToken);
    this._commands = new Commands(this, _options.trace);
    this._stopWatch = watchPage(this);
    this._dial();
  }

  get state(): api.MeshState {
    return this._state;
  }

  get why(): api.Why {
    return this._why;
  }

  get edge(): api.Mesh["edge"] {
    const link = this._link;
    if (!link) return undefined;
    const { node, region, cid } = link._info!;
    return { node, region, cid, url: link._url };
  }

  get health(): api.Health {
    return this._health;
  }

  on<E extends keyof api.MeshEvents>(event: E, call: (value: api.MeshEvents[E]) => void): () => void {
    const calls = this._calls.get(event) ?? new Set();
    this._calls.set(event, calls.add(call));
    return () => void calls.delete(call);
  }

  async ready(): Promise<void> {
    while (this._state !== "open") {
      if (this._state === "closed") throw this._ended();
      await new Promise<void>((changed) => {
        const off = this.on("state", () => {
          off();
          changed();
        });
      });
    }
  }

  subscribe<T = unknown, const F extends string = string>(
    filter: F,
    options: api.SubscribeOptions<T, F> | ((message: Message<T, F>) => void) = {},
  ): api.Subscription<T, F> {
    if (typeof options === "function") options = { onMessage: options };
    const sub = new Sub<T, F>(this, filter, options);
    const { from, position, headers: hdr, trace } = options;
    const wishes = { f: filter, ...(hdr && { hdr }), ...(trace && { trace }) };
    const known = this._feeds.get(filter);
    const feed = known ?? new Feed(this, filter, wishes);
    sub._feed = feed;
    if (options.signal?.aborted || this._state === "closed") {
      sub._feed = new Feed(this, filter, wishes);
      sub._feed._state = "closed";
      if (this._state === "closed") sub._fail(this._ended());
      else sub.off();
      return sub;
    }
    this._feeds.set(filter, feed);
    if (!feed._add(sub, from, position, wishes)) {
      const hint = "subscribe to it with the same headers and trace, and from the present";
      const error = new MeshError(LOCAL.conflict, `already subscribed: ${filter}`, false, 0, hint);
      queueMicrotask(() => sub._fail(error));
    }
    return sub;
  }

  publish(subject: string, data?: Data, options?: api.PublishOptions): Promise<api.Published> {
    return this._commands._publish(subject, data, options);
  }

  request<T>(subject: string, data?: Data, options?: api.CommandOptions): Promise<Payload<T>> {
    return this._commands._request(subject, data, options);
  }

  history<T = unknown, const F extends string = string>(
    filter: F,
    options?: api.HistoryOptions,
  ): Promise<api.HistoryPage<T, F>> {
    return this._commands._history(filter, options);
  }

  stats(): api.Stats {
    return { ...this._stats, subscriptions: this._feeds.size };
  }

  close(): void {
    this._end(1000, "bye");
  }

  /** Where feeds belong: the connection in use, else the one that is being made. */
  _target(): Link | undefined {
    return this._link ?? (this._next?._isOpen ? this._next : undefined);
  }

  /** Why commands and subscriptions of a closed mesh fail. */
  _ended(): MeshError {
    return new MeshError(this._why.code || LOCAL.closed, `closed: ${this._why.reason}`);
  }

  get _isClosed(): boolean {
    return this._state === "closed";
  }

  _forget(feed: Feed): void {
    if (this._feeds.get(feed._filter) === feed) this._feeds.delete(feed._filter);
  }

  /** Answers whether anybody listens. */
  _emit<E extends keyof api.MeshEvents>(event: E, value: api.MeshEvents[E]): boolean {
    const calls = this._calls.get(event);
    for (const call of [...(calls ?? [])]) guarded(() => call(value as never));
    return !!calls?.size;
  }

  _error(error: MeshError): void {
    if (!this._emit("error", error)) report(error);
  }

  _suspend(): void {
    if (this._isClosed) return;
    this._isSuspended = true;
    this._stop("suspended");
    this._set("idle", { code: 0, reason: "the page is suspended" });
  }

  _resume(): void {
    if (!this._isSuspended) return this._wake();
    this._isSuspended = false;
    this._dial();
  }

  _wake(): void {
    this._link?._probe();
    if (this._state === "waiting") this._dial();
  }

  _opened(link: Link): void {
    const { name, version, trace, ping } = this._options;
    const tp = trace?.();
    const token = link._token;
    link._command(
      {
        connect: {
          ...(token !== undefined && { token }),
          ...(name && { name }),
          ...(version && { ver: version }),
          feat: FEATURES,
          ...(ping && { ping }),
          ...(tp && { tp }),
        },
      },
      (item) => {
        link._info = item.connect!;
        this._isReady(link);
      },
      (error) => link._close(error.retry ? CONNECT_LATER : CONNECT_REFUSED, error.message),
    );
    // With no connection in use, the first frame asks for everything. Otherwise the feeds wait for
    // the connect reply, so that a connection that comes to nothing costs no replay.
    if (!this._link) this._ask(link);
  }

  _push(link: Link, item: Item): void {
    if (item.goaway) this._goaway(link, item.goaway);
    if (item.mesh && link === this._link) {
      this._health = { degraded: [], stale: [], readonly: [], ...item.mesh };
      this._emit("health", this._health);
    }
    // Transports without close codes of their own.
    if (item.close) link._close(item.close.code, item.close.reason);
  }

  _closed(link: Link, code: number, reason: string): void {
    for (const feed of this._feeds.values()) feed._lost(link);
    const wasReady = link === this._link;
    if (link === this._next) {
      this._next = undefined;
      this._at++;
    } else if (wasReady) {
      this._link = undefined;
      if (goesElsewhere(code)) this._at++;
    } else return;
    if (this._isClosed || this._isSuspended) return;
    if (wasReady && this._env.now() - link._readyAt >= LIFE_MS) this._failures = 0;
    if (this._next) this._set("connecting", { code, reason });
    else if (this._link) this._later(0);
    else this._retry(code, reason);
  }

  private _isReady(link: Link): void {
    if (link !== this._next) return;
    const old = this._link;
    this._next = undefined;
    this._link = link;
    link._readyAt = this._env.now();
    this._notBefore = 0;
    this._isLastChance = false;
    this._stats.connections++;
    this._learn(this._urls.length, link._info!.alt);
    this._health = { degraded: [], stale: [], readonly: [] };
    this._ask(link);
    if (old) this._retire(old, 0);
    this._set("open", { code: 0, reason: "" });
    this._commands._flush();
  }

  /** Closes a connection that was left, when its feeds and its commands are elsewhere. */
  private _retire(link: Link, waited_ms: number): void {
    const isNeeded = link._feeds.size + link._waiting.size > 0 && waited_ms < RETIRE_MS_MAX;
    if (!isNeeded) return link._close(1000, "moved");
    const again = (): void => this._retire(link, waited_ms + RETIRE_LOOK_MS);
    this._env.timer(again, RETIRE_LOOK_MS);
  }

  private _ask(link: Link): void {
    for (const feed of this._feeds.values()) feed._ask(link);
  }

  private _goaway(link: Link, goaway: GoAway): void {
    this._emit("goaway", goaway);
    if (link !== this._link || this._isSuspended) return;
    if (goaway.server.length) {
      this._at = 0;
      this._learn(0, goaway.server);
    }
    const [least_ms, most_ms] = goaway.after_ms;
    const delay_ms = least_ms + this._env.random() * (most_ms - least_ms);
    this._notBefore = this._env.now() + delay_ms;
    if (!this._next) this._timer(delay_ms);
  }

  /** Remembers addresses from this place in the order on. */
  private _learn(at: number, urls: string[] = []): void {
    const current = this._urls[this._at % this._urls.length];
    const kept = at ? this._urls : this._urls.filter((url) => !urls.includes(url));
    const added = urls.filter((url) => !kept.includes(url));
    this._urls = [...kept.slice(0, at), ...added, ...kept.slice(at)].slice(0, URLS_MAX);
    this._at = at ? Math.max(0, this._urls.indexOf(current as string)) : 0;
  }

  private _retry(code: number, reason: string): void {
    if (code === TOKEN_EXPIRED) this._token._forget("expiry");
    if (code === INVALID_TOKEN && this._token._exists && !this._isLastChance) {
      this._isLastChance = true;
      this._token._forget("refused");
    } else if (!mayRetry(code)) return this._end(code, reason);
    const wait_ms = this._notBefore - this._env.now();
    this._notBefore = 0;
    this._later(Math.max(0, wait_ms), { code, reason });
  }

  /** The next attempt, after a backoff or so many ms. */
  private _later(least_ms: number, why?: api.Why): void {
    const delay_ms = least_ms || backoff_ms(this._failures++, this._env.random());
    this._timer(delay_ms);
    if (why) this._set("waiting", { ...why, retryInMs: delay_ms });
  }

  private _timer(ms: number): void {
    this._stopTimer();
    this._stopTimer = this._env.timer(() => this._dial(), ms);
  }

  private _dial(): void {
    this._stopTimer();
    if (this._next || this._isClosed || this._isSuspended) return;
    if (!this._link) this._set("connecting", this._why);
    const attempt = ++this._attempt;
    const failed = (reason: unknown): void => {
      if (attempt !== this._attempt || this._isClosed) return;
      this._at++;
      if (this._link) this._later(0);
      else this._retry(1006, String(reason));
    };
    const dial = (token: string | undefined): void => {
      if (attempt !== this._attempt || this._isClosed || this._isSuspended) return;
      const { codecs = [json], transport = webSocket } = this._options;
      const socket = this._options.WebSocket as typeof WebSocket | undefined;
      const url = this._urls[this._at % this._urls.length] as string;
      try {
        const options = { codecs, token, WebSocket: socket };
        this._next = new Link(this._env, this, url, transport, options);
      } catch (error) {
        failed(error);
      }
    };
    try {
      const token = this._token._get(this._env.now());
      if (token instanceof Promise) token.then(dial, failed);
      else dial(token);
    } catch (error) {
      failed(error);
    }
  }

  private _stop(reason: string): void {
    this._attempt++;
    this._stopTimer();
    const links = [this._link, this._next];
    this._link = this._next = undefined;
    for (const link of links) if (link) link._close(1000, reason);
  }

  private _end(code: number, reason: string): void {
    if (this._isClosed) return;
    this._stopWatch();
    this._set("closed", { code, reason });
    const error = this._ended();
    for (const feed of [...this._feeds.values()]) feed._fail(error);
    this._commands._fail(error);
    this._stop(reason);
    if (code !== 1000) this._error(error);
  }

  private _set(state: api.MeshState, why: api.Why): void {
    const isNews = state !== this._state || state === "waiting";
    this._state = state;
    this._why = why;
    if (isNews) this._emit("state", state);
  }
}
