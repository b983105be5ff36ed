/** Reads protobuf to an object by its table. Throws on what is malformed; skips what is unknown. */

import {
  ACK,
  BOOLEAN,
  BYTES,
  DEFAULTED,
  HEADER,
  HEADERS,
  LIST,
  NUMBER,
  REPEATED,
  type Schema,
  TEXT,
  TRACE,
  type Type,
} from "./schema.ts";
import { ACKS } from "./writer.ts";

/** Ten bytes hold 64 bits. */
const VARINT_BYTES_MAX = 10;

// eslint-disable-next-line -- the table decides what the object is
type Value = any;

export function read(bytes: Uint8Array, schema: Schema): Value {
  const value: Value = {};
  let at = 0;
  const malformed = (): never => {
    throw new TypeError("malformed");
  };
  const varint = (): number => {
    let whole = 0;
    for (let place = 0; place < VARINT_BYTES_MAX; place++) {
      const byte = bytes[at++] ?? malformed();
      whole += (byte & 127) * 128 ** place;
      if (byte < 128) return whole;
    }
    return malformed();
  };
  const take = (length: number): Uint8Array => {
    if (length > bytes.length - at) malformed();
    return bytes.subarray(at, (at += length));
  };
  for (const [name, type, presence] of Object.values(schema)) {
    if (presence === LIST) value[name] = [];
    if (presence === DEFAULTED) value[name] = type === TEXT ? "" : type === BOOLEAN ? false : 0;
  }
  while (at < bytes.length) {
    const key = varint();
    const wire = key % 8;
    const [name, type, presence] = schema[Math.floor(key / 8)] ?? [];
    // 64 and 32 bits are in no message that is known.
    const raw =
      wire === 0
        ? varint()
        : take(wire === 2 ? varint() : wire === 1 ? 8 : wire === 5 ? 4 : malformed());
    if (name === undefined) continue;
    const isNumber = type === NUMBER || type === BOOLEAN || type === ACK;
    if (wire !== (isNumber ? 0 : 2)) malformed();
    const entry = isNumber ? number(raw as number, type) : content(raw as Uint8Array, type as Type);
    if (type === HEADERS) add((value[name] ??= {}), entry);
    else if (presence === REPEATED || presence === LIST) (value[name] ??= []).push(entry);
    else value[name] = entry;
  }
  return value;
}

function number(raw: number, type: Type): Value {
  return type === BOOLEAN ? raw > 0 : type === ACK ? ACKS[raw] : raw;
}

function content(bytes: Uint8Array, type: Type): Value {
  if (type === TEXT) return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  if (type === BYTES) return bytes;
  if (type === TRACE) {
    const hex = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
    return `00-${hex.slice(0, 32)}-${hex.slice(32, 48)}-${hex.slice(48)}`;
  }
  return read(bytes, type === HEADERS ? HEADER : (type as Schema));
}

/** One more header: several values of a name become an array. */
function add(headers: Record<string, string | string[]>, { n, v }: { n: string; v: string }): void {
  const isKnown = Object.keys(headers).includes(n);
  headers[n] = isKnown ? ([] as string[]).concat(headers[n] as string, v) : v;
}
