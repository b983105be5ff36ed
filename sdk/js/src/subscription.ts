/**
 * One subscription as the application holds it: hands messages to a handler, or keeps them for an
 * iterator, up to a bound. Many may share one feed. Owned by the application.
 */

import type {
  Gap,
  HistoryOptions,
  HistoryPage,
  SubscribeOptions,
  Subscription,
  SubscriptionState,
} from "./api.ts";
import { CLOSED, MeshError, report } from "./errors.ts";
import type { Feed } from "./feed.ts";
import type { Mesh } from "./mesh.ts";
import { Message } from "./message.ts";
import type { Msg, Position } from "./wire.ts";

/** How many messages an iterator holds before the subscription is paused. */
const HIGH_WATER = 1024;
/** The close code of `Mesh.close`. */
const NORMAL = 1000;
/** Why messages of a full iterator are missing. */
const OVERFLOW = "buffer";
/** Old engines have no such symbol; nobody can use it there. */
const DISPOSE: typeof Symbol.dispose = Symbol.dispose ?? ("dispose" as never);

/** What an iterator has not reached yet. */
interface Kept {
  _raw?: Msg;
  _gap?: Gap;
  /** The position before it. */
  _at: Position | undefined;
}

type Any = any; // eslint-disable-line -- the feed does not know the application's types

export class Sub<T = Any, F extends string = Any> implements Subscription<T, F> {
  private _kept: Kept[] = [];
  private _wake?: () => void;
  /** What the application works on: an iterator's message counts when the next is asked for. */
  private _working?: Kept | undefined;
  private _isOver?: boolean;
  private _error?: MeshError | undefined;
  /** Settles `_ready`; only the first call counts. */
  _confirmed!: (error?: MeshError) => void;
  private readonly _ready = new Promise<void>((done, failed) => {
    this._confirmed = (error) => (error ? failed(error) : done());
  });

  constructor(
    private readonly _mesh: Mesh,
    readonly filter: F,
    readonly _options: SubscribeOptions<T, F>,
    private readonly _feed: Feed,
  ) {
    this._ready.catch(() => {});
  }

  get state(): SubscriptionState {
    return this._isOver ? "closed" : this._feed._state;
  }

  get position(): Position | undefined {
    const first = this._working ?? this._kept[0];
    return first ? first._at : this._feed._point();
  }

  ready(): Promise<void> {
    return this._ready;
  }

  history(options?: HistoryOptions): Promise<HistoryPage<T, F>> {
    return this._mesh.history<T, F>(this.filter, options);
  }

  off(): void {
    if (!this._end(new MeshError(CLOSED, "ended"))) return;
    this._kept = [];
    this._feed._remove(this);
  }

  [DISPOSE](): void {
    this.off();
  }

  async *[Symbol.asyncIterator](): AsyncIterator<Message<T, F>> {
    try {
      for (;;) {
        const kept = this._kept.shift();
        if (this._kept.length <= this._highWater / 2) this._feed._resume();
        if (kept?._gap) this._emit(kept._gap);
        if (kept?._raw) {
          this._working = kept;
          yield new Message<T, F>(kept._raw, this.filter);
          this._working = undefined;
        }
        if (kept) continue;
        const error = this._error;
        this._error = undefined;
        if (error) throw error;
        if (this._isOver) return;
        await new Promise<void>((wake) => (this._wake = wake));
      }
    } finally {
      this.off();
    }
  }

  _push(m: Msg, at: Position | undefined): void {
    const { onMessage } = this._options;
    const last = this._kept[this._kept.length - 1];
    if (this._isOver) return;
    if (onMessage) {
      guarded(onMessage, new Message<T, F>(m, this.filter));
    } else if (this._kept.length <= this._highWater) {
      this._keep({ _raw: m, _at: at });
      if (this._kept.length >= this._highWater) this._feed._pause();
    } else if (last!._gap?.why === OVERFLOW) {
      // One gap for all that is dropped in a row.
      last!._gap.upto = m.q;
    } else {
      this._mesh._stats.gaps++;
      this._keep({ _gap: { why: OVERFLOW, after: at?.q, upto: m.q }, _at: at });
    }
  }

  _gap(gap: Gap, at: Position | undefined): void {
    if (this._options.onMessage) this._emit(gap);
    else this._keep({ _gap: gap, _at: at });
  }

  _set(state: SubscriptionState): void {
    guarded(this._options.onState, state);
  }

  /** The edge, or the end of the mesh, ended it. */
  _fail(error: MeshError): void {
    if (!this._end(error)) return;
    this._set("closed");
    // The application wanted it.
    if (error.code === NORMAL) return;
    const { onError, onMessage } = this._options;
    if (onError) guarded(onError, error);
    else if (onMessage) this._mesh._error(error);
    else this._error = error;
  }

  private _end(error: MeshError): boolean {
    if (this._isOver) return false;
    this._isOver = true;
    this._confirmed(error);
    this._wake?.();
    return true;
  }

  private _emit(gap: Gap): void {
    const { onGap } = this._options;
    if (onGap) guarded(onGap, gap);
    else this._mesh._emit("gap", { ...gap, filter: this.filter });
  }

  private _keep(kept: Kept): void {
    this._kept.push(kept);
    this._wake?.();
  }

  private get _highWater(): number {
    return this._options.highWater ?? HIGH_WATER;
  }
}

/** What the application throws is its own: it is reported, and delivery goes on. */
export function guarded<A>(call: ((value: A) => unknown) | undefined, value: A): void {
  try {
    (call?.(value) as Promise<unknown> | undefined)?.catch?.(report);
  } catch (error) {
    report(error);
  }
}
