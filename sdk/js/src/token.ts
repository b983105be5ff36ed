/** The access token: kept until shortly before its end, then asked for again. Owned by the mesh. */

import type { MeshOptions, TokenRequest } from "./api.ts";

/** A token this near to its end may be over before the edge reads it. */
const SPARE_MS = 10_000;

/** Where tokens come from. */
export interface TokenSource {
  /** The kept token will not do. */
  _forget(reason: TokenRequest["reason"]): void;
  /** A token for an attempt that begins now; none if none is wanted. */
  _get(now: number): Promise<string | undefined>;
}

export function tokenSource(ask: MeshOptions["getToken"]): TokenSource {
  let kept: string | undefined;
  let endsAt = 0;
  let reason: TokenRequest["reason"] = "start";
  return {
    _forget(why) {
      reason = why;
      endsAt = 0;
    },
    async _get(now) {
      if (ask && now >= endsAt - SPARE_MS) {
        const answer = await ask({ reason });
        const { token, expiresAt } = typeof answer === "string" ? { token: answer } : { ...answer };
        kept = token;
        endsAt = expiresAt ?? endOf(token);
        reason = "expiry";
      }
      return kept;
    },
  };
}

/** When a JWT ends, in ms. 0, hence "ask each time", where that cannot be read. */
function endOf(token: string): number {
  try {
    const body = (token.split(".")[1] as string).replace(/-/g, "+").replace(/_/g, "/");
    return JSON.parse(atob(body)).exp * 1000 || 0;
  } catch {
    return 0;
  }
}
