/**
 * One connection to one edge, from the attempt to the close: numbers commands, matches replies,
 * gathers what is said in one turn into one frame, and notices when the edge falls silent. What to
 * do about it is the mesh's business. Owned by the mesh.
 */

import type { Chunk } from "./codec.ts";
import { MeshError, report } from "./errors.ts";
import type { Feed } from "./feed.ts";
import type { Dial, DialOptions, Env, Transport } from "./transport.ts";
import type { Command, ConnectReply, Item } from "./wire.ts";

/** The limits that hold until the connect reply tells others. */
const LIMITS = { frame: 65_536, cmds: 64 };
/** The edge's heartbeat interval until the connect reply tells another, in s. */
const PING_S = 25;
/** How long an attempt may take, an answer to a probe, and silence beyond two heartbeats. */
const PATIENCE_MS = 10_000;
/** How often silence is looked for. */
const LOOK_MS = 2_000;
/** What the client closes a silent connection with. */
const SILENT = 4001;
/** And one whose items it cannot read; the range says "try again". */
const UNREADABLE = 4400;

/** What the mesh does with a connection's events. */
export interface LinkHost {
  /** It is open, and its first frame is being gathered. */
  _opened(link: Link): void;
  /** A push that concerns the connection rather than a subscription. */
  _push(link: Link, item: Item): void;
  /** It is over: once, and the last event. */
  _closed(link: Link, code: number, reason: string): void;
}

/** Who waits for an answer. Exactly one of the two is called. */
interface Waiting {
  _done: (item: Item) => void;
  _fail: (error: MeshError) => void;
}

export class Link {
  /** Subscriptions that stand on this connection, by their ids. */
  readonly _feeds = new Map<number, Feed>();
  /** Commands that wait for their answer, by their ids. */
  readonly _waiting = new Map<number, Waiting>();
  _isOpen?: boolean;
  /** What the edge said of itself. */
  _info?: ConnectReply;
  /** When the connect reply came. */
  _readyAt!: number;
  private readonly _transport: Transport;
  private _isOver?: boolean;
  private _id = 0;
  /** What was said in this turn, and its size. */
  private _chunks: Chunk[] = [];
  private _bytes = 0;
  /** When the edge has been silent for too long. */
  private _deadline!: number;
  /** It was too long when last looked at. */
  private _isLate?: boolean;

  constructor(
    private readonly _env: Env,
    private readonly _host: LinkHost,
    readonly _url: string,
    readonly _options: DialOptions,
    dial: Dial,
  ) {
    // First, because it may throw: then there is nothing to watch.
    this._transport = dial(_url, _options, {
      opened: () => {
        this._isOpen = true;
        _host._opened(this);
      },
      frame: (frame) => this._read(frame),
      closed: (code, reason) => this._over(code, reason),
    });
    this._grant(PATIENCE_MS);
    this._watch();
  }

  get _buffered(): number {
    return this._transport.bufferedAmount;
  }

  /**
   * Sends a command, at the latest at the end of this turn. Exactly one of the two is called, in
   * the order of items: `done` before the next item is looked at.
   */
  _command(command: Command, done: Waiting["_done"], failed: Waiting["_fail"]): void {
    const id = ++this._id;
    this._waiting.set(id, { _done: done, _fail: failed });
    const error = this._isOver ? lost() : this._send({ id, ...command });
    if (error) {
      this._waiting.delete(id);
      failed(error);
    }
  }

  /** Sends a command that is not answered. */
  _send(command: Command): MeshError | undefined {
    const limits = this._info?.limits ?? LIMITS;
    const chunk = this._transport.codec.encode(command);
    const { length: bytes } = typeof chunk === "string" ? new TextEncoder().encode(chunk) : chunk;
    if (bytes > limits.frame) return new MeshError(206, "too large");
    const isFull = this._chunks.length >= limits.cmds || this._bytes + bytes >= limits.frame;
    if (isFull) this._flush();
    this._bytes += bytes + 1;
    if (this._chunks.push(chunk) === 1) queueMicrotask(() => this._flush());
    return undefined;
  }

  /** Asks the edge for a sign of life: after the network or the page was away. */
  _probe(): void {
    this._deadline = Math.min(this._deadline, this._env.now() + PATIENCE_MS);
    // Without an id it does nothing. The answer is an error, and any answer will do.
    this._send({ unsubscribe: { i: 1 } });
  }

  _close(code: number, reason: string): void {
    this._flush();
    this._transport.close(code, reason);
    this._over(code, reason);
  }

  private _flush(): void {
    const chunks = this._chunks;
    this._chunks = [];
    this._bytes = 0;
    if (chunks.length && !this._isOver) this._transport.send(this._transport.codec.join(chunks));
  }

  private _read(frame: Chunk | ArrayBuffer): void {
    let items: Item[] = [];
    try {
      items = this._transport.codec.decode(frame);
    } catch (error) {
      report(error);
      this._close(UNREADABLE, "malformed");
    }
    for (const item of items) if (!this._isOver) this._item(item);
    this._grant(2000 * (this._info?.ping ?? PING_S) + PATIENCE_MS);
  }

  private _item(item: Item): void {
    const { id, error, m, live, pos, gap, unsub } = item;
    if (id !== undefined) {
      const waiting = this._waiting.get(id);
      this._waiting.delete(id);
      if (error) {
        waiting?._fail(
          new MeshError(error.code, error.msg, error.retry, error.after_ms, error.hint),
        );
      } else waiting?._done(item);
      return;
    }
    const body = m ?? live ?? pos ?? gap ?? unsub;
    if (body) this._feeds.get(body.i)?._item(item);
    else this._host._push(this, item);
  }

  private _grant(ms: number): void {
    this._deadline = this._env.now() + ms;
    this._isLate = false;
  }

  private _watch(): void {
    this._env.timer(() => {
      if (this._isOver) return;
      const isLate = this._env.now() > this._deadline;
      // After a sleep this may run before the frames that waited meanwhile: they get one more turn.
      if (isLate && this._isLate) return this._close(SILENT, "silent");
      this._isLate = isLate;
      this._watch();
    }, LOOK_MS);
  }

  private _over(code: number, reason: string): void {
    if (this._isOver) return;
    this._isOver = true;
    this._host._closed(this, code, reason);
    for (const { _fail } of this._waiting.values()) _fail(lost());
  }
}

function lost(): MeshError {
  return new MeshError(203, "connection lost", true);
}
