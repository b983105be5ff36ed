/** The public types: what an application holds and passes. The classes behind are not public. */

import type { Codec } from "./codec.ts";
import type { MeshError } from "./errors.ts";
import type { Data, Message, Payload } from "./message.ts";
import type { Dial, Env } from "./transport.ts";
import type { ConnectReply, From, GoAway, Headers, Position } from "./wire.ts";

/** `idle`: not trying, because the page is suspended. `waiting`: the next attempt has a time. */
export type MeshState = "idle" | "connecting" | "open" | "waiting" | "closed";

/** Why the mesh is in its state. */
export interface Why {
  /** The close code; 0 for none. */
  code: number;
  reason: string;
  /** In state `waiting`: how long from then to the next attempt. */
  retryInMs?: number;
}

/** Why a token is asked for. */
export interface TokenRequest {
  /** `start`: there is none yet. `expiry`: the last one ends soon. `refused`: the edge said so. */
  reason: "start" | "expiry" | "refused";
}

/** A token, or one with its end where that does not stand in it. */
export type Token = string | { token: string; /** Unix time in ms. */ expiresAt?: number };

export interface MeshOptions {
  /** Awaited before each attempt whose token is within 10 s of its end, which a JWT tells. */
  getToken?: (request: TokenRequest) => Token | Promise<Token>;
  /** What the client calls itself in the edge's logs, and its version. */
  name?: string;
  version?: string;
  /** In order of preference; JSON by default. `[pb, json]` asks for the binary codec first. */
  codecs?: Codec[];
  /** How to connect; a WebSocket by default. See `/fallback` and `/shared`. */
  transport?: Dial;
  /** A WebSocket class, where there is no global one (Node 20). */
  WebSocket?: typeof WebSocket;
  /** Answers the `traceparent` of the current span, for `connect`, `publish` and `request`. */
  trace?: () => string | undefined;
  /** Wanted heartbeat interval in s, 5 to 300; 25 by default. */
  ping?: number;
  /** Time, chance and timers, for tests. */
  env?: Env;
}

/** Messages may be missing here. The one thing that an application must handle. */
export interface Gap {
  /**
   * From the edge: `nats`, `expired`, `epoch`, `limit` and others. From the client: `ephemeral`,
   * the connection was lost and the namespace stores nothing; `buffer`, an iterator was too slow.
   */
  why: string;
  /** The last sequence before the gap, where known. */
  after?: number;
  /** The last sequence within the gap, where known. */
  upto?: number;
}

/** `pending`: not confirmed by an edge. `paused`: an iterator is full, and resumes when read. */
export type SubscriptionState = "pending" | "replaying" | "live" | "paused" | "closed";

export interface SubscribeOptions<T = unknown, F extends string = string> {
  /** Begin with history; durable namespaces only. */
  from?: From;
  /** Go on after a position that an earlier subscription had. */
  position?: Position;
  /** Called with each message. Without it, iterate over the subscription. */
  onMessage?: (message: Message<T, F>) => void;
  /** Messages may be missing. Without it the mesh's event `gap` is raised. */
  onGap?: (gap: Gap) => void;
  /** The subscription ended by an error. Without it the mesh's event `error` is raised. */
  onError?: (error: MeshError) => void;
  onState?: (state: SubscriptionState) => void;
  /** Names of headers to deliver. */
  headers?: string[];
  /** Deliver `trace` with sampled messages. */
  trace?: boolean;
  /** How many messages an iterator holds before the subscription is paused; 1,024 by default. */
  highWater?: number;
  /** Ends the subscription when aborted. */
  signal?: AbortSignal;
}

export interface Subscription<T = unknown, F extends string = string> extends AsyncIterable<
  Message<T, F>
> {
  readonly filter: F;
  readonly state: SubscriptionState;
  /** Behind everything that was handed over; none on an ephemeral namespace. */
  readonly position: Position | undefined;
  /** Resolves when an edge has confirmed the subscription; rejects when it ends before that. */
  ready(): Promise<void>;
  /** What is stored of this filter. */
  history(options?: HistoryOptions): Promise<HistoryPage<T, F>>;
  /** Ends it. The edge is told 250 ms later, unless somebody subscribes to the filter again. */
  off(): void;
  [Symbol.dispose](): void;
}

export interface CommandOptions {
  /** For everything: waiting for a connection, sending, the answer. In ms; 10,000 by default. */
  timeout?: number;
  signal?: AbortSignal;
  /** Headers to send. */
  headers?: Headers;
}

export interface PublishOptions extends CommandOptions {
  /** What the answer must prove. By default `stream` on a durable subject and `edge` on others. */
  ack?: "none" | "edge" | "stream";
  /**
   * Message id: a stream stores it once, so with it (and with `ack` `stream`, where one is made)
   * the publish is repeated until it is answered or `timeout` has passed.
   */
  mid?: string;
}

export interface Published {
  ack: "none" | "edge" | "stream";
  /** With `stream`: which. */
  stream?: string;
  /** With `stream`: the sequence there. */
  q?: number;
  /** With `stream`: whether a message with the same `mid` was stored before. */
  dup?: boolean;
}

export interface HistoryOptions {
  /** For everything, in ms; 10,000 by default. */
  timeout?: number;
  signal?: AbortSignal;
  /** Names of headers to deliver. */
  headers?: string[];
  /** The oldest messages above it. */
  after?: Position;
  /** The newest messages below it. Neither: the newest. */
  before?: Position;
  /** 1 to 500; 100 by default. */
  limit?: number;
  /** Deliver `trace` with sampled messages. */
  trace?: boolean;
}

export interface HistoryPage<T = unknown, F extends string = string> {
  /** In order of the stream, whichever way was asked. */
  messages: Message<T, F>[];
  /** For the next newer page; also a `position` to subscribe from. */
  after: Position;
  /** For the next older page. */
  before: Position;
  /** Whether there are more in the direction that was asked for. */
  more: boolean;
  /** Whether the namespace keeps few messages a subject, so that others may have stood between. */
  thinned?: boolean;
  /** What was asked for and cannot be given, in order. */
  gaps?: Gap[];
}

/** What happened since `connect`. */
export interface Stats {
  messages: number;
  /** Messages that came again after a resume and were not shown twice. */
  duplicates: number;
  gaps: number;
  /** Connections that were established. */
  connections: number;
  subscriptions: number;
}

/** What the mesh's own links look like; an empty list, or none, is good news. */
export interface Health {
  /** Regions whose messages this edge does not get. */
  degraded?: string[];
  /** Namespaces whose copy in this region is behind. */
  stale?: string[];
  /** Namespaces that take no durable writes. */
  readonly?: string[];
}

/** What an edge says of itself, and where it was found. */
export interface Edge extends ConnectReply {
  url: string;
}

export interface MeshEvents {
  state: MeshState;
  error: MeshError;
  gap: Gap & { filter: string };
  goaway: GoAway;
  health: Health;
}

export interface Mesh {
  readonly state: MeshState;
  readonly why: Why;
  /** The edge that serves this client. */
  readonly edge: Edge | undefined;
  readonly health: Health;
  /** Calls back at each event; the answer ends it. */
  on<E extends keyof MeshEvents>(event: E, call: (value: MeshEvents[E]) => void): () => void;
  /** Resolves when open; rejects when closed for good. */
  ready(): Promise<void>;
  subscribe<T = unknown, const F extends string = string>(
    filter: F,
    options?: SubscribeOptions<T, F> | ((message: Message<T, F>) => void),
  ): Subscription<T, F>;
  publish(subject: string, data?: Data, options?: PublishOptions): Promise<Published>;
  /** One answer of one responder. `timeout` 5,000 ms by default, 60,000 at most. */
  request<T = unknown>(subject: string, data?: Data, options?: CommandOptions): Promise<Payload<T>>;
  history<T = unknown, const F extends string = string>(
    filter: F,
    options?: HistoryOptions,
  ): Promise<HistoryPage<T, F>>;
  stats(): Stats;
  /** Ends everything. What waits is rejected. */
  close(): void;
}
