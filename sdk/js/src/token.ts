/** The access token: kept until shortly before its end, then asked for again. Owned by the mesh. */

import type { MeshOptions, TokenRequest } from "./api.ts";

/** A token this near to its end may be over before the edge reads it. */
const SPARE_MS = 10_000;

export class TokenSource {
  private _token: string | undefined;
  private _endsAt = 0;
  private _reason: TokenRequest["reason"] = "start";

  constructor(private readonly _ask: MeshOptions["getToken"]) {}

  /** The kept token will not do. */
  _forget(reason: TokenRequest["reason"]): void {
    this._reason = reason;
    this._endsAt = 0;
  }

  /** A token for an attempt that begins now; none if none is wanted. */
  async _get(now: number): Promise<string | undefined> {
    if (this._ask && now >= this._endsAt - SPARE_MS) {
      const answer = await this._ask({ reason: this._reason });
      const { token, expiresAt } = typeof answer === "string" ? { token: answer } : { ...answer };
      this._token = token;
      this._endsAt = expiresAt ?? endOf(token);
      this._reason = "expiry";
    }
    return this._token;
  }
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
