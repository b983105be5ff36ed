/** A message as the application sees it. The payload is decoded when it is asked for. */

import { fromBase64 } from "./base64.ts";
import { type Body, type Headers, KIND_JSON, KIND_TEXT, type Msg } from "./wire.ts";

/** What the payload is. */
export type PayloadKind = "json" | "text" | "bytes" | "empty";

/** What `publish` and `request` take: bytes, text, nothing, or a value that JSON can spell. */
export type Data = Uint8Array | string | undefined | unknown;

/** The tokens that stand for the wildcards of filter `F`, in order. */
export type Tokens<F extends string> = F extends `${infer Head}.${infer Tail}`
  ? Head extends "*"
    ? [string, ...Tokens<Tail>]
    : Tokens<Tail>
  : F extends "*"
    ? [string]
    : F extends ">"
      ? [string, ...string[]]
      : string extends F
        ? string[]
        : [];

/** A payload with its headers: what a request is answered with. */
export class Payload<T = unknown> {
  /** Headers that were asked for, names in lower case. */
  readonly headers: Headers;

  constructor(readonly _raw: Body) {
    this.headers = _raw.h ?? {};
  }

  /** What the payload is, decided once by the edge. */
  get kind(): PayloadKind {
    const { d, t, b, k } = this._raw;
    if (d !== undefined || k === KIND_JSON) return "json";
    if (t !== undefined || k === KIND_TEXT) return "text";
    return b?.length ? "bytes" : "empty";
  }

  /** The payload as JSON. Throws a `SyntaxError` if it is not. */
  json(): T {
    const { d } = this._raw;
    return (d !== undefined ? d : JSON.parse(this.text())) as T;
  }

  /** The payload as text; bytes that are not UTF-8 become U+FFFD. */
  text(): string {
    const { d, t } = this._raw;
    if (d !== undefined) return JSON.stringify(d);
    return t ?? new TextDecoder().decode(this.bytes());
  }

  /**
   * The payload as bytes. Exact with the codec `pb`; over JSON a payload that is JSON comes out in
   * JavaScript's spelling of it.
   */
  bytes(): Uint8Array {
    const { d, t, b } = this._raw;
    if (d !== undefined || t !== undefined) return new TextEncoder().encode(this.text());
    return typeof b === "string" ? fromBase64(b) : (b ?? new Uint8Array());
  }
}

/** A message of a subscription on filter `F`. */
export class Message<T = unknown, F extends string = string> extends Payload<T> {
  /** The subject that it was published on. */
  readonly subject: string;
  /** Its sequence in the stream; none on an ephemeral namespace. */
  readonly seq: number | undefined;
  /** W3C `traceparent`, if `trace` was asked for and the message is sampled. */
  readonly trace: string | undefined;
  /** Whether it comes from history rather than live. */
  readonly replayed: boolean;

  constructor(
    raw: Msg,
    private readonly _filter: F,
  ) {
    super(raw);
    this.subject = raw.s ?? _filter;
    this.seq = raw.q;
    this.trace = raw.tp;
    this.replayed = !!raw.r;
  }

  /** What stands for the filter's wildcards. */
  get tokens(): Tokens<F> {
    const tokens = this.subject.split(".");
    return this._filter.split(".").flatMap((token, at) => {
      return token === ">" ? tokens.slice(at) : token === "*" ? tokens[at] : [];
    }) as Tokens<F>;
  }
}

/** Spells data as a payload: text stays text, bytes stay bytes, everything else is JSON. */
export function toBody(data: Data): Body {
  if (data === undefined) return {};
  if (typeof data === "string") return { t: data };
  return data instanceof Uint8Array ? { b: data } : { d: data };
}
