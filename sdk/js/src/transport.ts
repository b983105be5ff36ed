/**
 * The seam to the network: a transport carries frames of commands up and frames of items down.
 * Implemented by `websocket.ts`, `fallback.ts` and `shared.ts`, and by the model edge of the tests.
 */

import type { Chunk, Codec } from "./codec.ts";

/** One attempt at a connection, and the connection. */
export interface Transport {
  /** How it is spelled; fixed once it is open. */
  readonly codec: Codec;
  /** Bytes that were sent and are still in this process. */
  readonly bufferedAmount: number;
  /** Sends one frame. Only when open; never throws. */
  send(frame: Chunk): void;
  /** Ends it. Nothing that is told afterwards counts. */
  close(code: number, reason: string): void;
}

/** What a transport tells. Never before the call that made it has returned. */
export interface TransportEvents {
  /** Commands may be sent. At most once. */
  opened(): void;
  /** A frame came, in order. An empty one is a sign of life. */
  frame(frame: Chunk | ArrayBuffer): void;
  /** It is over. Code 1006 where there is none. */
  closed(code: number, reason: string): void;
}

/** What `connect` gives to a transport beside the address. */
export interface DialOptions {
  /** In order of preference. */
  codecs: Codec[];
  /** The token of the next `connect`, for transports that need it earlier. */
  token: string | undefined;
  /** The WebSocket class to use instead of the global one. */
  WebSocket?: typeof WebSocket;
}

/** Begins an attempt. May throw, which counts as a failed attempt. */
export type Dial = (url: string, options: DialOptions, events: TransportEvents) => Transport;

/** Time, chance and timers, so that tests own them. */
export interface Env {
  /** Wall clock in ms: unlike a monotonic one it shows that the machine slept. */
  now(): number;
  /** Uniform in [0, 1). */
  random(): number;
  /** Calls back once after so many ms; the answer cancels it. */
  timer(call: () => void, ms: number): () => void;
}

/** The real one. */
export const environment: Env = {
  now: Date.now,
  random: Math.random,
  timer(call, ms) {
    const timer = setTimeout(call, ms);
    return () => clearTimeout(timer);
  },
};
