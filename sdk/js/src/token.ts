/** The access token: kept until shortly before its end, then asked for again. Owned by the mesh. */

import type { MeshOptions, Token, TokenRequest } from "./api.ts";
import { fromBase64 } from "./base64.ts";

/** A token this near to its end may be over before the edge reads it. */
const SPARE_MS = 10_000;

export class TokenSource {
  private _token: string | undefined;
  private _endsAt = 0;
  private _reason: TokenRequest["reason"] = "start";

  constructor(private readonly _ask: MeshOptions["getToken"]) {}

  /** Whether the application can be asked. */
  get _exists(): boolean {
    return !!this._ask;
  }

  /** The kept token will not do. */
  _forget(reason: TokenRequest["reason"]): void {
    this._reason = reason;
    this._endsAt = 0;
  }

  /** A token for an attempt that begins now. At once if one is at hand or none is wanted. */
  _get(now: number): string | undefined | Promise<string> {
    if (!this._ask || now < this._endsAt - SPARE_MS) return this._token;
    const reason = this._reason;
    return Promise.resolve(this._ask({ reason })).then((answer) => this._keep(answer));
  }

  private _keep(answer: Token): string {
    const { token, expiresAt } = typeof answer === "string" ? { token: answer } : { ...answer };
    this._token = token;
    this._endsAt = expiresAt ?? endOf(token);
    this._reason = "expiry";
    return token;
  }
}

/** When a JWT ends, in ms. 0, hence "ask each time", where that cannot be read. */
function endOf(token: string): number {
  try {
    const body = (token.split(".")[1] as string).replace(/-/g, "+").replace(/_/g, "/");
    return JSON.parse(new TextDecoder().decode(fromBase64(body))).exp * 1000 || 0;
  } catch {
    return 0;
  }
}
