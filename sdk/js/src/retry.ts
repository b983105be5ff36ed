/** When a lost connection is made anew. Pure: the chance is passed in. */

/** The bound of the first delay. */
const FIRST_MS = 500;
/** The bound never grows beyond this. */
const BOUND_MS_MAX = 20_000;
/** A connection that lived this long was a success: the bound starts again. */
export const LIFE_MS = 10_000;
/** The edge refused the token. */
export const INVALID_TOKEN = 3500;
/** The token's time is over. */
export const TOKEN_EXPIRED = 3002;

/** A delay with full jitter, in ms, before the attempt after `failures` failed ones. */
export function backoff_ms(failures: number, random: number): number {
  return Math.round(random * Math.min(BOUND_MS_MAX, FIRST_MS * 2 ** failures));
}

/** Whether a connection that was closed with this code is worth another attempt. */
export function mayRetry(code: number): boolean {
  // Above, the range of the last three digits decides: 3000 to 3499 and 4000 to 4499.
  return code < 3000 ? [1001, 1006, 1011, 1012, 1013].includes(code) : code % 1000 < 500;
}
