/**
 * One connection to one edge, from the attempt to the close: numbers commands, matches replies,
 * gathers what is said in one turn into one frame, and notices when the edge falls silent. What to
 * do about it is the mesh's business. Owned by the mesh.
 */

import type { Chunk } from "./codec.ts";
import { fromItem, MeshError } from "./errors.ts";
import type { Feed } from "./feed.ts";
import type { DialOptions, Dial, Env, Transport } from "./transport.ts";
import type { Command, ConnectReply, Item } from "./wire.ts";

/** The limits that hold until the connect reply tells others. */
const FRAME_BYTES = 65_536;
const COMMANDS_PER_FRAME = 64;
/** The edge's heartbeat interval until the connect reply tells another, in s. */
const PING_S = 25;
/** How long an edge may be silent beyond two heartbeats. */
const SILENCE_MS = 10_000;
/** How long frames that wait in the page's own queue get to prove life after a sleep. */
const DRAIN_MS = 1_000;
/** How long the edge has for the answer to a probe. */
const PROBE_MS = 5_000;
/** What the client closes a silent connection with. */
const SILENT = 4001;

/** What the mesh does with a connection's events. */
export interface LinkHost {
  /** It is open, and its first frame is being gathered. */
  _opened(link: Link): void;
  /** A push that concerns the connection rather than a subscription. */
  _push(link: Link, item: Item): void;
  /** It is over: once, and the last event. */
  _closed(link: Link, code: number, reason: string): void;
}

interface Waiting {
  _done: (item: Item) => void;
  _failed: (error: MeshError) => void;
}

export class Link {
  /** Subscriptions that stand on this connection, by their ids. */
  readonly _feeds = new Map<number, Feed>();
  /** Commands that wait for their answer, by their ids. */
  readonly _waiting = new Map<number, Waiting>();
  _isOpen = false;
  /** What the connect command will carry. */
  readonly _token: string | undefined;
  /** What the edge said of itself. */
  _info: ConnectReply | undefined;
  /** When the connect reply came. */
  _readyAt = 0;
  private _transport: Transport | undefined;
  private _isOver = false;
  private _id = 0;
  private _chunks: Chunk[] = [];
  private _heardAt: number;
  private _stopWatch = (): void => {};

  constructor(
    private readonly _env: Env,
    private readonly _host: LinkHost,
    readonly _url: string,
    dial: Dial,
    options: DialOptions,
  ) {
    this._token = options.token;
    this._heardAt = _env.now();
    this._transport = dial(_url, options, {
      opened: () => {
        this._isOpen = true;
        this._watch();
        _host._opened(this);
      },
      items: (items) => this._items(items),
      closed: (code, reason) => this._over(code, reason),
    });
  }

  get _buffered(): number {
    return this._transport?.bufferedAmount ?? 0;
  }

  /**
   * Sends a command, at the latest at the end of this turn. Exactly one of the two is called, in
   * the order of items: `_done` before the next item is looked at.
   */
  _command(command: Command, done: Waiting["_done"], failed: Waiting["_failed"]): void {
    if (this._isOver) return failed(lost());
    const id = ++this._id;
    if (this._send({ id, ...command })) this._waiting.set(id, { _done: done, _failed: failed });
    else failed(new MeshError(206, "larger than the edge's limits.frame", false));
  }

  /** Sends a command that is not answered. `false`: it is too large for this edge. */
  _send(command: Command): boolean {
    const chunk = this._transport!.codec.encode(command);
    const limit_bytes = this._info?.limits.frame ?? FRAME_BYTES;
    if (bytesOf(chunk, limit_bytes) > limit_bytes) return false;
    if (this._chunks.push(chunk) === 1) queueMicrotask(() => this._flush());
    return true;
  }

  /** Asks the edge for a sign of life: after the network or the page was away. */
  _probe(): void {
    if (!this._info || this._isOver) return;
    const askedAt = this._env.now();
    const heard = (): void => {};
    // No subscription has this id, so the answer is an error, and any answer will do.
    this._command({ unsubscribe: { i: 4294967295 } }, heard, heard);
    this._env.timer(() => {
      if (this._heardAt < askedAt) this._close(SILENT, "no answer");
    }, PROBE_MS);
  }

  _close(code: number, reason: string): void {
    this._flush();
    this._transport?.close(code, reason);
    this._over(code, reason);
  }

  private _flush(): void {
    const chunks = this._isOver ? [] : this._chunks;
    this._chunks = [];
    const limits = this._info?.limits;
    const frame_bytes = limits?.frame ?? FRAME_BYTES;
    let frame: Chunk[] = [];
    let bytes = 0;
    const send = (): void => {
      if (frame.length) this._transport!.send(this._transport!.codec.join(frame));
      frame = [];
      bytes = 0;
    };
    for (const chunk of chunks) {
      const more = bytesOf(chunk, frame_bytes) + 1;
      if (bytes + more > frame_bytes || frame.length >= (limits?.cmds ?? COMMANDS_PER_FRAME)) {
        send();
      }
      frame.push(chunk);
      bytes += more;
    }
    send();
  }

  private _items(items: Item[]): void {
    this._heardAt = this._env.now();
    for (const item of items) {
      if (this._isOver) return;
      if (item.id !== undefined) this._answer(item.id, item);
      else this._push(item);
    }
  }

  private _answer(id: number, item: Item): void {
    const waiting = this._waiting.get(id);
    if (!waiting) return;
    this._waiting.delete(id);
    if (item.error) waiting._failed(fromItem(item.error));
    else waiting._done(item);
  }

  private _push(item: Item): void {
    const { m, live, pos, gap, unsub } = item;
    const body = m ?? live ?? pos ?? gap ?? unsub;
    if (!body) this._host._push(this, item);
    else this._feeds.get(body.i)?._item(item);
  }

  /** Looks again when the edge could first have been silent for too long. */
  private _watch(): void {
    const silence_ms = (): number =>
      this._heardAt + 2000 * (this._info?.ping ?? PING_S) + SILENCE_MS - this._env.now();
    const later = (ms: number, call: () => void): void => {
      this._stopWatch = this._env.timer(call, ms);
    };
    later(Math.max(0, silence_ms()), () => {
      if (silence_ms() > 0) return this._watch();
      // After a sleep the timer may come before the frames that waited meanwhile.
      later(DRAIN_MS, () => {
        if (silence_ms() > 0) this._watch();
        else this._close(SILENT, "silent");
      });
    });
  }

  private _over(code: number, reason: string): void {
    if (this._isOver) return;
    this._isOver = true;
    this._stopWatch();
    const waiting = [...this._waiting.values()];
    this._waiting.clear();
    this._host._closed(this, code, reason);
    for (const { _failed } of waiting) _failed(lost());
  }
}

function lost(): MeshError {
  return new MeshError(203, "the connection was lost before the answer came", true);
}

/** An upper bound where that is enough, since counting UTF-8 costs a copy; else exact. */
function bytesOf(chunk: Chunk, limit_bytes: number): number {
  if (typeof chunk !== "string") return chunk.length;
  const bound_bytes = chunk.length * 3;
  return bound_bytes <= limit_bytes ? bound_bytes : new TextEncoder().encode(chunk).length;
}
