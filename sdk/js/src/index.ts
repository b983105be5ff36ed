/**
 * `@meridian/client`: subscribe, publish and ask over a Meridian edge, from a browser or Node.
 * The core with the JSON codec over WebSocket; `/pb`, `/fallback`, `/shared` and `/react` add.
 */

import type * as api from "./api.ts";
import { Mesh } from "./mesh.ts";

export type {
  CommandOptions,
  Gap,
  Health,
  HistoryOptions,
  HistoryPage,
  Mesh,
  MeshEvents,
  MeshOptions,
  MeshState,
  Published,
  PublishOptions,
  Stats,
  SubscribeOptions,
  Subscription,
  SubscriptionState,
  Token,
  TokenRequest,
  Why,
} from "./api.ts";
export type { Codec } from "./codec.ts";
export { MeshError } from "./errors.ts";
export { json } from "./json.ts";
export type { Data, Message, Payload, PayloadKind, Tokens } from "./message.ts";
export type { Dial, Env, Transport, TransportEvents } from "./transport.ts";
export { webSocket } from "./websocket.ts";
export type { From, GoAway, Headers, Position } from "./wire.ts";

/**
 * Connects to an edge, and goes on connecting until `close`. The first address is tried first,
 * then the others and those that edges tell.
 */
export function connect(urls: string | string[], options: api.MeshOptions = {}): api.Mesh {
  return new Mesh(urls, options);
}
