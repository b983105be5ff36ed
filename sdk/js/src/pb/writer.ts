/** Writes an object as protobuf by its table. */

import {
  ACK,
  BOOLEAN,
  BYTES,
  DEFAULTED,
  HEADER,
  HEADERS,
  NUMBER,
  OPTIONAL,
  REPEATED,
  type Schema,
  TEXT,
  TRACE,
  type Type,
} from "./schema.ts";

/** The spellings of the enum `Ack`, by number. */
export const ACKS = ["", "none", "edge", "stream"];

export function write(value: object, schema: Schema): number[] {
  const out: number[] = [];
  for (const [number, [name, type, presence]] of Object.entries(schema)) {
    const field = (value as Record<string, unknown>)[name];
    const entries = presence === REPEATED ? list(field, type) : [field];
    for (const entry of entries) {
      if (entry === undefined || entry === null) continue;
      if (!entry && (presence === OPTIONAL || presence === DEFAULTED)) continue;
      one(out, +number, entry, type);
    }
  }
  return out;
}

/** The entries of a repeated field. */
function list(field: unknown, type: Type): unknown[] {
  if (type !== HEADERS) return (field as unknown[] | undefined) ?? [];
  return Object.entries(field ?? {}).flatMap(([n, values]) =>
    ([] as string[]).concat(values as string | string[]).map((v) => ({ n, v })),
  );
}

function one(out: number[], number: number, entry: unknown, type: Type): void {
  if (type === NUMBER || type === BOOLEAN || type === ACK) {
    const whole = type === ACK ? ACKS.indexOf(entry as string) : Number(entry);
    if (type === ACK && whole < 1) return;
    varint(out, number * 8);
    return varint(out, whole);
  }
  const bytes = bytesOf(entry, type);
  if (type === BYTES && !bytes.length) return;
  varint(out, number * 8 + 2);
  varint(out, bytes.length);
  for (const byte of bytes) out.push(byte);
}

function bytesOf(entry: unknown, type: Type): ArrayLike<number> & Iterable<number> {
  if (type === TEXT) return new TextEncoder().encode(entry as string);
  if (type === BYTES) return entry as Uint8Array;
  // `00-<32>-<16>-<2>`: without the version and the hyphens.
  if (type === TRACE)
    return (
      (entry as string)
        .slice(3)
        .match(/[\da-f]{2}/g)
        ?.map((hex) => parseInt(hex, 16)) ?? []
    );
  return write(entry as object, type === HEADERS ? HEADER : (type as Schema));
}

/** Bits beyond the 32nd are out of reach of `>>>`. */
function varint(out: number[], value: number): void {
  for (; value > 127; value = Math.floor(value / 128)) out.push((value % 128) | 128);
  out.push(value);
}
