/** The codec `meridian.v1.json`: one object a line, lines glued by line breaks. */

import { toBase64 } from "./base64.ts";
import type { Chunk, Codec } from "./codec.ts";
import type { Command, Item } from "./wire.ts";

export const json: Codec = {
  name: "meridian.v1.json",

  encode(command: Command): Chunk {
    for (const kind of ["publish", "request"] as const) {
      const body = command[kind];
      if (body && body.b instanceof Uint8Array) {
        command = { ...command, [kind]: { ...body, b: toBase64(body.b) } };
      }
    }
    return JSON.stringify(command);
  },

  join: (chunks) => chunks.join("\n"),

  decode(frame): Item[] {
    const items: Item[] = [];
    for (const line of (frame as string).split("\n")) {
      if (line.trim()) items.push(checked(JSON.parse(line)));
    }
    return items;
  },
};

/** Refuses what would be misunderstood later. Unknown keys and pushes pass: they are skipped. */
function checked(item: Item): Item {
  const { id, m } = item;
  if (
    Array.isArray(item) ||
    typeof item !== "object" ||
    (id !== undefined && !(id > 0)) ||
    (m && !(m.i > 0 && typeof m.s === "string"))
  ) {
    throw new TypeError("malformed item");
  }
  return item;
}
