/** The codec `meridian.v1.json`: one object a line, lines glued by line breaks. */

import { toBase64 } from "./base64.ts";
import type { Codec } from "./codec.ts";
import type { Item } from "./wire.ts";

export const json: Codec = {
  name: "meridian.v1.json",

  encode(command) {
    const body = command.publish ?? command.request;
    // Kept as text: the command may be repeated.
    if (body?.b instanceof Uint8Array) body.b = toBase64(body.b);
    return JSON.stringify(command);
  },

  join: (chunks) => chunks.join("\n"),

  decode: (frame) =>
    (frame as string)
      .split("\n")
      .filter((line) => line.trim())
      .map((line) => {
        const item = JSON.parse(line) as Item;
        const { id = 1, m } = item;
        // What would be misunderstood later. Unknown keys and pushes pass: they are skipped.
        if (Array.isArray(item) || !(id > 0) || (m && !(m.i && m.s))) throw new TypeError(line);
        return item;
      }),
};
