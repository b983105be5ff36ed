/**
 * The seam between what is said (`wire.ts`) and how it is spelled. Implemented by `json.ts`,
 * `pb.ts`, and by the port to a SharedWorker, which spells nothing.
 */

import type { Command, Item } from "./wire.ts";

/** One encoded command, before it is glued to others. */
export type Chunk = string | Uint8Array;

/** How commands and items are spelled on a connection. */
export interface Codec {
  /** The WebSocket subprotocol that stands for it. */
  readonly name: string;
  /** Spells one command. */
  encode(command: Command): Chunk;
  /** Glues commands to one frame. */
  join(chunks: Chunk[]): Chunk;
  /** Reads a frame. Throws on what no edge of `meridian.v1` sends. */
  decode(frame: Chunk | ArrayBuffer): Item[];
}
