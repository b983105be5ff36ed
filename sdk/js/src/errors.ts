/**
 * The one error type of the client. Codes from 100 on are the edge's, from the table in
 * `proto/PROTOCOL.md`; those below are the client's own.
 */

import type { ErrorItem } from "./wire.ts";

/** Codes of what goes wrong before an edge is asked. */
export const LOCAL = {
  /** The mesh or the subscription is closed. */
  closed: 1,
  /** No answer within the command's `timeout`. */
  timeout: 2,
  /** More waits to be sent than may wait. */
  backpressure: 3,
  /** The subscription conflicts with one that the page already holds. */
  conflict: 4,
} as const;

/** What a command, a subscription or the mesh fails with. */
export class MeshError extends Error {
  override readonly name = "MeshError";
  /** From `LOCAL`, from the edge (100 and above), or a close code (1000 and above). */
  readonly code: number;
  /** Whether the same command may succeed later. */
  readonly retry: boolean;
  /** How long to wait before that, in ms. */
  readonly afterMs: number | undefined;
  /** What to change, for people. */
  readonly hint: string | undefined;

  constructor(code: number, message: string, retry = false, afterMs?: number, hint?: string) {
    super(message);
    this.code = code;
    this.retry = retry;
    this.afterMs = afterMs;
    this.hint = hint;
  }
}

/** An error of the edge. */
export function fromItem(item: ErrorItem): MeshError {
  return new MeshError(item.code, item.msg, item.retry, item.after_ms, item.hint);
}

/**
 * Reports what must not stop delivery, where uncaught errors go: `window.onerror` in a browser,
 * the console elsewhere.
 */
export function report(error: unknown): void {
  if (typeof reportError === "function") reportError(error);
  else console.error(error);
}
