/**
 * The one error type of the client. Codes from 100 on are the edge's, from the table in
 * `proto/PROTOCOL.md`; those below are the client's own.
 */

/** The mesh, or the subscription, was closed by the application. */
export const CLOSED = 1;
/** No answer within the command's `timeout`. */
export const TIMEOUT = 2;
/** More waits to be sent than may wait. */
export const BACKPRESSURE = 3;
/** The page holds the filter already, with other options. */
export const CONFLICT = 4;

/** What a command, a subscription or the mesh fails with. */
export class MeshError extends Error {
  override readonly name = "MeshError";
  /** 1 to 4, see above; from the edge (100 and above); or a close code (1000 and above). */
  readonly code: number;
  /** Whether the same command may succeed later. */
  readonly retry: boolean;
  /** How long to wait before that, in ms. */
  readonly afterMs: number;
  /** What to change, for people. */
  readonly hint: string | undefined;

  constructor(code: number, message: string, retry = false, afterMs = 0, hint?: string) {
    super(message);
    this.code = code;
    this.retry = retry;
    this.afterMs = afterMs;
    this.hint = hint;
  }
}

/**
 * Reports what must not stop delivery, where uncaught errors go: `window.onerror` in a browser,
 * the console elsewhere.
 */
export function report(error: unknown): void {
  (globalThis.reportError ?? console.error)(error);
}
