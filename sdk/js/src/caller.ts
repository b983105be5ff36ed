/**
 * What the application asks of the mesh beside subscriptions: publish, request, history. Waits for
 * a connection, for room to send, and for the answer, all within one time limit. The mesh is built
 * on it; it knows of the mesh only what stands below as abstract.
 */

import type * as api from "./api.ts";
import { BACKPRESSURE, MeshError, TIMEOUT } from "./errors.ts";
import type { Link } from "./link.ts";
import { type Data, Message, Payload, toBody } from "./message.ts";
import { backoff_ms } from "./retry.ts";
import type { Env } from "./transport.ts";
import type { Command, Item, Position } from "./wire.ts";

/** A sender waits while more than this is in the page's own queue. */
const BUFFERED_BYTES_SOFT = 1_048_576;
/** And is refused beyond this. */
const BUFFERED_BYTES_HARD = 4_194_304;
/** How often a waiting sender looks: browsers tell nobody when the queue shrinks. */
const LOOK_MS = 50;
/** Most commands that wait for a connection or for room. */
const WAITING_MAX = 1024;
/** What a command may take, unless the application says otherwise. */
const TIMEOUT_MS = 10_000;
/** What a responder may take, by the protocol. */
const REQUEST_MS = 5_000;
/** Not carried out: the command budget was spent. */
const TOO_MANY_REQUESTS = 111;
/** Perhaps carried out: harmless to repeat with the same message id. */
const ACK_UNKNOWN = 203;

/** One command until it is answered. */
interface Call {
  _command: Command;
  /** Whether it may be carried out twice without harm. */
  _isRepeatable: boolean;
  _failures: number;
  _isOver?: boolean;
  _done: (item: Item) => void;
  _failed: (error: unknown) => void;
}

export abstract class Caller {
  abstract readonly _env: Env;
  abstract readonly _options: api.MeshOptions;
  /** The connection in use, if there is one. */
  abstract _link?: Link | undefined;
  /** Why nothing can be sent any more, if so. */
  abstract get _ended(): MeshError | undefined;
  private readonly _waiting = new Set<Call>();

  async publish(s: string, data?: Data, options: api.PublishOptions = {}): Promise<api.Published> {
    const { ack, headers: h } = options;
    let { mid } = options;
    if (!mid && ack === "stream") mid = `${this._env.random()}${this._env.random()}`;
    const body = { s, ...toBody(data), mid, ack, h, tp: this._tp() };
    const { publish } = await this._call({ publish: body }, options, !!mid);
    return publish as api.Published;
  }

  async request<T>(s: string, data?: Data, options: api.CommandOptions = {}): Promise<Payload<T>> {
    const { timeout = REQUEST_MS, headers: h, signal } = options;
    const body = { s, ...toBody(data), timeout, h, tp: this._tp() };
    // The edge answers after `timeout`; the way there and back takes time as well.
    const ample = { signal, timeout: timeout + TIMEOUT_MS };
    const { request } = await this._call({ request: body }, ample);
    return new Payload<T>(request!);
  }

  async history<T = unknown, const F extends string = string>(
    f: F,
    options: api.HistoryOptions = {},
  ): Promise<api.HistoryPage<T, F>> {
    const { after, before, limit, trace, headers: hdr } = options;
    const query = { f, after, before, limit, trace, hdr };
    const { history } = await this._call({ history: query }, options, true);
    const { m, e, more, gap } = history!;
    const at = (q: number | undefined): Position | undefined => (q === undefined ? q : { e, q });
    return {
      messages: m.map((raw) => new Message<T, F>(raw, f)),
      after: at(history!.after),
      before: at(history!.before),
      more,
      gap,
    };
  }

  /** A connection is there, or none will ever be. */
  _flush(): void {
    for (const call of [...this._waiting]) this._try(call);
  }

  private _call(
    command: Command,
    { signal, timeout = TIMEOUT_MS }: { signal?: AbortSignal | undefined; timeout?: number },
    isRepeatable = false,
  ): Promise<Item> {
    return new Promise((done, failed) => {
      const end = (): void => {
        call._isOver = true;
        this._waiting.delete(call);
        stopTimer();
      };
      const call: Call = {
        _command: command,
        _isRepeatable: isRepeatable,
        _failures: 0,
        _done: (item) => (end(), done(item)),
        _failed: (error) => (end(), failed(error)),
      };
      const abort = (): void => call._failed(signal!.reason);
      const stopTimer = this._env.timer(() => {
        call._failed(new MeshError(TIMEOUT, `no answer in ${timeout} ms`, true));
      }, timeout);
      signal?.addEventListener("abort", abort);
      if (signal?.aborted) abort();
      else this._try(call);
    });
  }

  private _try(call: Call): void {
    const link = this._link;
    const buffered = link?._buffered ?? 0;
    if (call._isOver) return;
    if (this._ended) return call._failed(this._ended);
    if (buffered > BUFFERED_BYTES_HARD || this._waiting.size > WAITING_MAX) {
      return call._failed(new MeshError(BACKPRESSURE, "too much waits to be sent", true));
    }
    this._waiting.add(call);
    if (!link) return;
    if (buffered > BUFFERED_BYTES_SOFT) {
      this._env.timer(() => this._try(call), LOOK_MS);
      return;
    }
    this._waiting.delete(call);
    try {
      if (call._command.publish?.ack === "none") {
        const error = link._send(call._command);
        return error ? call._failed(error) : call._done({ publish: { ack: "none" } });
      }
      link._command(call._command, call._done, (error) => {
        const { code, retry, afterMs = 0 } = error;
        const isHarmless = call._isRepeatable && (retry || code === ACK_UNKNOWN);
        if (code !== TOO_MANY_REQUESTS && !isHarmless) return call._failed(error);
        const wait_ms = afterMs + backoff_ms(call._failures++, this._env.random());
        this._env.timer(() => this._try(call), wait_ms);
      });
    } catch (error) {
      // What JSON cannot spell.
      call._failed(error);
    }
  }

  private _tp(): string | undefined {
    return this._options.trace?.();
  }
}
