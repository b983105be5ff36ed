/**
 * What goes over the wire, whatever the codec: commands to the edge, items from it. The shapes are
 * those of the JSON spelling in `proto/PROTOCOL.md`, which says what each field means. Not the
 * public API; that is `api.ts`.
 */

/** A place in a stream; it means the same in every region. */
export interface Position {
  /** The stream's epoch, opaque: compared for equality only. */
  e: string;
  /** The sequence in it. */
  q: number;
}

/** Where in history a subscription begins. */
export type From = { last: number } | { time: string } | { last_per_subject: true };

/** Header values by name; a name that occurs more than once has an array. */
export type Headers = Record<string, string | string[]>;

/** A payload: at most one of `d`, `t` and `b`. None is the empty payload. */
export interface Body {
  /** A JSON value. */
  d?: unknown;
  t?: string;
  /** Bytes; the JSON codec spells them as base64, which is what it delivers. */
  b?: Uint8Array | string;
  /** What the bytes in `b` are, where a codec delivers bytes only: `KIND_JSON` and so on. */
  k?: number;
  h?: Headers;
}

/** What the bytes of a payload are: the enum `Kind` of the .proto. */
export const KIND_JSON = 1;
export const KIND_TEXT = 2;
export const KIND_BYTES = 3;

export interface Publish extends Body {
  s: string;
  mid?: string;
  ack?: string;
  tp?: string;
}

export interface Subscribe {
  f: string;
  recover?: Position;
  from?: From;
  hdr?: string[];
  trace?: boolean;
  token?: string;
}

export interface HistoryQuery {
  f: string;
  after?: Position;
  before?: Position;
  limit?: number;
  hdr?: string[];
  trace?: boolean;
}

export interface Connect {
  token?: string;
  name?: string;
  ver?: string;
  feat?: string[];
  ping?: number;
  tp?: string;
}

/** One command: its body stands under its name. */
export interface Command {
  id?: number;
  connect?: Connect;
  subscribe?: Subscribe;
  unsubscribe?: { i: number };
  publish?: Publish;
  request?: Publish & { timeout?: number };
  history?: HistoryQuery;
  receipt?: { tp: string; at: number; took: number };
  refresh?: { token: string; i?: number };
}

export interface ConnectReply {
  cid: string;
  node: string;
  region: string;
  ver: string;
  /** Heartbeat interval in s. */
  ping: number;
  limits: { frame: number; subs: number; cmds: number };
  alt?: string[];
  feat?: string[];
}

export interface SubscribeReply {
  i: number;
  recoverable: boolean;
  e?: string;
  q?: number;
  n?: number;
  recovered?: boolean;
  why?: string;
}

export interface PublishReply {
  ack: string;
  stream?: string;
  q?: number;
  dup?: boolean;
}

export interface HistoryReply {
  /** Without `i`. */
  m: Msg[];
  e: string;
  after: number;
  before: number;
  more: boolean;
  thinned?: boolean;
  gaps?: Omit<GapItem, "i">[];
}

export interface ErrorItem {
  code: number;
  msg: string;
  retry: boolean;
  after_ms?: number;
  hint?: string;
}

export interface Msg extends Body {
  i: number;
  /** Absent where the codec leaves it out: then the filter is the subject. */
  s?: string;
  q?: number;
  tp?: string;
  r?: number;
}

export interface Mark {
  i: number;
  q: number;
}

export interface GapItem {
  i: number;
  why: string;
  after?: number;
  upto?: number;
  /** With `why` `epoch`: the new one. */
  e?: string;
}

export interface GoAway {
  why: string;
  server: string[];
  after_ms: [number, number];
  deadline_ms: number;
}

/** One item. With an `id` it answers a command; without it is a push; with neither a heartbeat. */
export interface Item {
  id?: number;
  connect?: ConnectReply;
  subscribe?: SubscribeReply;
  publish?: PublishReply;
  request?: Body;
  history?: HistoryReply;
  refresh?: { expires: number };
  error?: ErrorItem;
  m?: Msg;
  live?: Mark;
  pos?: Mark;
  gap?: GapItem;
  unsub?: { i: number; code: number; reason: string };
  goaway?: GoAway;
  /** A token ends in so many s: the connection's, or a subscription's. */
  expire?: { in: number; i?: number };
  mesh?: { degraded?: string[]; stale?: string[]; readonly?: string[] };
  close?: { code: number; reason: string };
}
