/**
 * A transport over plain HTTP: items come as lines of one streamed response (`POST /v1/stream`),
 * commands go up one request after the other (`POST /v1/cmd`), to any edge. Used by `fallback.ts`.
 */

import { json } from "./json.ts";
import type { Dial } from "./transport.ts";

/** An edge that does not answer for the moment gets a request again so many times. */
const TRIES_MAX = 5;
/** And so many ms later. */
const RETRY_MS = 500;
/** No answer, or one that nobody can use. */
const LOST = 1006;

/** Waits for the next frame to send. */
type Wake = () => void;

export const stream: Dial = (url, _options, events) => {
  const base = url.replace(/^ws/, "http").replace(/\/v1\/ws$/, "/v1/");
  const abort = new AbortController();
  /** Frames that are not yet taken; the first opens the stream. */
  const frames: string[] = [];
  let buffered = 0;
  let session: string | undefined;
  let wake: Wake | undefined;

  const over = (code: number, reason: string): void => {
    if (abort.signal.aborted) return;
    abort.abort();
    events.closed(code, reason);
  };
  // Without a content type and other headers: a page of another origin needs no preflight. The
  // token is in the connect command.
  const post = (path: string, body: string): Promise<Response> =>
    fetch(base + path, { method: "POST", body, signal: abort.signal });

  /** Looks at one line; items are passed on together. */
  const take = (lines: string[]): void => {
    const items = lines.filter((line) => {
      const { session: id, close } = /^\{"(session|close)"/.test(line)
        ? JSON.parse(line)
        : ({} as never);
      if (id) {
        session = id.id;
        wake?.();
      }
      if (close) over(close.code, close.reason);
      return !id && !close;
    });
    if (!abort.signal.aborted) events.frame(items.join("\n"));
  };

  const read = async (first: string): Promise<void> => {
    const response = await post("stream", first);
    if (!response.ok) return over(LOST, `HTTP ${response.status}`);
    const reader = response.body!.getReader();
    const decoder = new TextDecoder();
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return over(LOST, "the stream ended");
      const lines = (rest + decoder.decode(value, { stream: true })).split("\n");
      rest = lines.pop() as string;
      if (lines.length) take(lines);
    }
  };

  const write = async (): Promise<void> => {
    for (let seq = 1; !abort.signal.aborted;) {
      const frame = frames[0];
      if (frame === undefined || !session) {
        await new Promise<void>((next) => (wake = next));
        continue;
      }
      await deliver(`${JSON.stringify({ session, seq: seq++ })}\n${frame}`);
      frames.shift();
      buffered -= frame.length;
    }
  };

  /** The same number each time: the edge carries a request out once. */
  const deliver = async (body: string): Promise<void> => {
    let failure: unknown;
    for (let left = TRIES_MAX; left--;) {
      try {
        const { ok, status } = await post("cmd", body);
        if (ok) return;
        failure = `HTTP ${status}`;
        // Only an edge that is busy or cut off may say otherwise later.
        if (status < 500 && status !== 409) break;
      } catch (error) {
        failure = error;
      }
      await new Promise((later) => setTimeout(later, RETRY_MS));
    }
    over(LOST, String(failure));
  };

  let isBegun = false;
  queueMicrotask(() => events.opened());
  return {
    codec: json,
    get bufferedAmount() {
      return buffered;
    },
    send(frame) {
      if (!isBegun) {
        isBegun = true;
        const failed = (error: unknown): void => over(LOST, String(error));
        read(frame as string).catch(failed);
        write().catch(failed);
        return;
      }
      frames.push(frame as string);
      buffered += frame.length;
      wake?.();
    },
    close() {
      abort.abort();
      wake?.();
    },
  };
};
