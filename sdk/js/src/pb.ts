/**
 * `@meridian/client/pb`: the codec `meridian.v1.pb`. Smaller on the wire than JSON, and exact: a
 * payload's bytes are those that the publisher sent. Pass it to `connect`, JSON behind it for edges
 * that do not serve it: `connect(url, { codecs: [pb, json] })`.
 */

import type { Codec } from "./codec.ts";
import { fromBase64 } from "./base64.ts";
import { read } from "./pb/reader.ts";
import { CLIENT_FRAME, SERVER_FRAME } from "./pb/schema.ts";
import { write } from "./pb/writer.ts";
import { type Body, type Item, KIND_BYTES, KIND_JSON, KIND_TEXT } from "./wire.ts";

export const pb: Codec = {
  name: "meridian.v1.pb",

  encode(command) {
    const { publish, request } = command;
    const plain = {
      ...command,
      publish: publish && { ...publish, ...payload(publish) },
      request: request && { ...request, ...payload(request) },
    };
    return Uint8Array.from(write({ c: [plain] }, CLIENT_FRAME));
  },

  // Frames that are glued together are a frame.
  join(chunks) {
    const frame = new Uint8Array(chunks.reduce((bytes, { length }) => bytes + length, 0));
    let at = 0;
    for (const chunk of chunks as Uint8Array[]) {
      frame.set(chunk, at);
      at += chunk.length;
    }
    return frame;
  },

  decode(frame) {
    if (typeof frame === "string") throw new TypeError("text on a binary protocol");
    const bytes = new Uint8Array(frame as ArrayBuffer);
    const items: Decoded[] = read(bytes, SERVER_FRAME).it ?? [];
    return items.map(asItem);
  },
};

/** An item as the table gives it. */
type Decoded = Item & { reply?: Item };

function asItem({ reply, error, goaway, ...item }: Decoded): Item {
  if (reply) return reply;
  if (error) {
    const { id, ...rest } = error as typeof error & { id?: number };
    return id ? { id, error: rest } : { error: rest };
  }
  if (goaway) {
    const { least, most, ...rest } = goaway as unknown as { least: number; most: number };
    return { goaway: { ...rest, after_ms: [least, most] } as never };
  }
  return item;
}

/** The bytes of a payload, and what they are. */
function payload({ d, t, b }: Body): Body {
  if (d !== undefined) return { b: new TextEncoder().encode(JSON.stringify(d)), k: KIND_JSON };
  if (t) return { b: new TextEncoder().encode(t), k: KIND_TEXT };
  // Text only where a JSON connection has tried to send it before.
  const bytes = typeof b === "string" ? fromBase64(b) : b;
  return bytes?.length ? { b: bytes, k: KIND_BYTES } : {};
}
