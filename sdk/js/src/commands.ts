/**
 * What the application asks of the mesh beside subscriptions: publish, request, history. Waits for
 * a connection, for room to send, and for the answer, all within one time limit. Owned by the mesh.
 */

import type * as api from "./api.ts";
import { LOCAL, MeshError } from "./errors.ts";
import type { Mesh } from "./mesh.ts";
import { type Data, Message, Payload, toBody } from "./message.ts";
import { backoff_ms } from "./retry.ts";
import type { Command, Item } from "./wire.ts";

/** A sender waits while more than this is in the page's own queue. */
const BUFFERED_BYTES_SOFT = 1_048_576;
/** And is refused beyond this, counting those that wait. */
const BUFFERED_BYTES_HARD = 4_194_304;
/** How often a waiting sender looks: browsers tell nobody when the queue shrinks. */
const LOOK_MS = 50;
/** Most commands that wait for a connection or for room. */
const WAITING_MAX = 1024;
/** What a command may take, unless the application says otherwise. */
const TIMEOUT_MS = 10_000;
/** What a responder may take, by the protocol. */
const REQUEST_MS = 5_000;
/** What the way to the edge and back may take beyond that. */
const WAY_MS = 5_000;
/** Not carried out: the command budget was spent. */
const TOO_MANY_REQUESTS = 111;

/** One command until it is answered. */
interface Call {
  _command: Command;
  /** Whether it may be carried out twice without harm. */
  _isRepeatable: boolean;
  _failures: number;
  _done: (item: Item) => void;
  _failed: (error: unknown) => void;
  _isOver: boolean;
}

export class Commands {
  private readonly _waiting = new Set<Call>();

  constructor(
    private readonly _mesh: Mesh,
    private readonly _trace: api.MeshOptions["trace"],
  ) {}

  async _publish(s: string, data: Data, options: api.PublishOptions = {}): Promise<api.Published> {
    const { ack, headers: h } = options;
    const isRepeatable = ack === "stream" || !!options.mid;
    const mid = options.mid ?? (isRepeatable ? this._messageId() : undefined);
    const publish = {
      s,
      ...toBody(data),
      ...(mid && { mid }),
      ...(ack && { ack }),
      ...(h && { h }),
      ...this._tp(),
    };
    const item = await this._call({ publish }, options, options.timeout ?? TIMEOUT_MS, isRepeatable);
    const { stream, q, dup } = item.publish!;
    return {
      ack: item.publish!.ack as api.Published["ack"],
      ...(stream !== undefined && { stream, seq: q!, duplicate: !!dup }),
    };
  }

  async _request<T>(s: string, data: Data, options: api.CommandOptions = {}): Promise<Payload<T>> {
    const { timeout = REQUEST_MS, headers: h } = options;
    const request = { s, ...toBody(data), timeout, ...(h && { h }), ...this._tp() };
    const item = await this._call({ request }, options, timeout + WAY_MS, false);
    return new Payload<T>(item.request!);
  }

  async _history<T, F extends string>(
    filter: F,
    options: api.HistoryOptions = {},
  ): Promise<api.HistoryPage<T, F>> {
    const { timeout, signal: _signal, headers: _headers, ...query } = options;
    const history = { f: filter, ...query };
    const { history: page } = await this._call({ history }, options, timeout ?? TIMEOUT_MS, true);
    const { m, e, after, before, more, gap } = page!;
    return {
      messages: m.map((raw) => new Message<T, F>(raw, filter)),
      ...(after !== undefined && { after: { e, q: after } }),
      ...(before !== undefined && { before: { e, q: before } }),
      more,
      ...(gap && { gap }),
    };
  }

  /** A connection is there. */
  _flush(): void {
    for (const call of [...this._waiting]) this._try(call);
  }

  _fail(error: MeshError): void {
    for (const call of [...this._waiting]) call._failed(error);
  }

  private _call(
    command: Command,
    { signal }: api.CommandOptions,
    timeout_ms: number,
    isRepeatable: boolean,
  ): Promise<Item> {
    const { _env } = this._mesh;
    return new Promise((done, failed) => {
      const end = (): void => {
        call._isOver = true;
        stopTimer();
        signal?.removeEventListener("abort", abort);
        this._waiting.delete(call);
      };
      const call: Call = {
        _command: command,
        _isRepeatable: isRepeatable,
        _failures: 0,
        _isOver: false,
        _done: (item) => (end(), done(item)),
        _failed: (error) => (end(), failed(error)),
      };
      const abort = (): void => call._failed(signal!.reason);
      const stopTimer = _env.timer(() => {
        call._failed(new MeshError(LOCAL.timeout, `no answer in ${timeout_ms} ms`, true));
      }, timeout_ms);
      signal?.addEventListener("abort", abort);
      if (signal?.aborted) abort();
      else this._try(call);
    });
  }

  private _try(call: Call): void {
    const { _mesh } = this;
    if (call._isOver) return;
    if (_mesh._isClosed) return call._failed(_mesh._ended());
    const link = _mesh._link;
    const buffered = link?._buffered ?? 0;
    if (!link || buffered > BUFFERED_BYTES_SOFT) {
      const isFull = this._waiting.size >= WAITING_MAX && !this._waiting.has(call);
      if (isFull || buffered > BUFFERED_BYTES_HARD) {
        const message = "too much waits to be sent";
        return call._failed(new MeshError(LOCAL.backpressure, message, true));
      }
      this._waiting.add(call);
      if (link) _mesh._env.timer(() => this._try(call), LOOK_MS);
      return;
    }
    this._waiting.delete(call);
    try {
      this._send(call, link);
    } catch (error) {
      // What JSON cannot spell.
      call._failed(error);
    }
  }

  private _send(call: Call, link: NonNullable<Mesh["_link"]>): void {
    const { publish } = call._command;
    if (publish?.ack === "none") {
      if (link._send(call._command)) call._done({ publish: { ack: "none" } });
      else call._failed(new MeshError(206, "larger than the edge's limits.frame"));
      return;
    }
    link._command(call._command, call._done, (error) => {
      const isRefused = error.code === TOO_MANY_REQUESTS;
      if (call._isOver || !(isRefused || (call._isRepeatable && (error.retry || error.code === 203)))) {
        return call._failed(error);
      }
      const { _env } = this._mesh;
      const wait_ms = (error.afterMs ?? 0) + backoff_ms(call._failures++, _env.random());
      _env.timer(() => this._try(call), wait_ms);
    });
  }

  private _tp(): { tp?: string } {
    const tp = this._trace?.();
    return tp ? { tp } : {};
  }

  private _messageId(): string {
    const part = (): string => this._mesh._env.random().toString(36).slice(2);
    return part() + part();
  }
}
