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
import type { Command, Item } from "./wire.ts";

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

/** The longest time that timers know: about 24 days. */
const FOREVER_MS = 2_147_483_647;

/** One command until it is answered. */
interface Call {
  /** None: only to wait until one could be sent. */
  _command: Command | undefined;
  /** Whether it may be carried out twice without harm. */
  _isRepeatable: boolean;
  _failures: number;
  _isOver?: boolean;
  _done: (item: Item) => void;
  _fail: (error: unknown) => void;
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
    if (ack === "stream") mid ??= `${this._env.random()}${this._env.random()}`;
    const body = { s, ...toBody(data), mid, ack, h, tp: this._tp() };
    const { publish } = await this._call({ publish: body }, options, !!mid);
    return publish as api.Published;
  }

  async request<T>(s: string, data?: Data, options: api.CommandOptions = {}): Promise<Payload<T>> {
    const { timeout = REQUEST_MS, headers: h } = options;
    const body = { s, ...toBody(data), timeout, h, tp: this._tp() };
    // The edge answers after `timeout`; the way there and back takes time as well.
    const ample = { ...options, timeout: timeout + TIMEOUT_MS };
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
    const { m, e, ...page } = history!;
    return {
      ...page,
      messages: m.map((raw) => new Message<T, F>(raw, f)),
      after: { e, q: page.after },
      before: { e, q: page.before },
    };
  }

  async ready(): Promise<void> {
    await this._call(undefined, { timeout: FOREVER_MS });
  }

  /** A connection is there, or none will ever be. */
  _flush(): void {
    for (const call of [...this._waiting]) this._try(call);
  }

  /** Sends a command when it can be sent, and answers with its reply. */
  _call(
    command: Command | undefined,
    { signal, timeout = TIMEOUT_MS }: { signal?: AbortSignal; timeout?: number },
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
        _fail: (error) => (end(), failed(error)),
      };
      const abort = (): void => call._fail(signal!.reason);
      const stopTimer = this._env.timer(() => {
        call._fail(new MeshError(TIMEOUT, "timeout", true));
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
    if (this._ended) return call._fail(this._ended);
    if (buffered > BUFFERED_BYTES_HARD || this._waiting.size > WAITING_MAX) {
      return call._fail(new MeshError(BACKPRESSURE, "too much waits", true));
    }
    this._waiting.add(call);
    if (!link) return;
    if (buffered > BUFFERED_BYTES_SOFT) {
      this._env.timer(() => this._try(call), LOOK_MS);
      return;
    }
    this._waiting.delete(call);
    const command = call._command;
    if (!command) return call._done({});
    try {
      if (command.publish?.ack === "none") {
        const error = link._send(command);
        return error ? call._fail(error) : call._done({ publish: { ack: "none" } });
      }
      link._command(command, call._done, (error) => {
        const { code, retry, afterMs } = error;
        const isHarmless = call._isRepeatable && (retry || code === ACK_UNKNOWN);
        if (code !== TOO_MANY_REQUESTS && !isHarmless) return call._fail(error);
        const wait_ms = afterMs + backoff_ms(call._failures++, this._env.random());
        this._env.timer(() => this._try(call), wait_ms);
      });
    } catch (error) {
      // What JSON cannot spell.
      call._fail(error);
    }
  }

  private _tp(): string | undefined {
    return this._options.trace?.();
  }
}
