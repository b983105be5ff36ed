/**
 * The messages of `proto/meridian/v1/meridian.proto` as tables: field number to field. Names are
 * those of `wire.ts`, so that both codecs give the same objects. A change there is a change here.
 */

/** What stands in a field: varint, boolean, text, bytes, trace, header, ack, or a message. */
export const NUMBER = 0;
export const BOOLEAN = 1;
export const TEXT = 2;
export const BYTES = 3;
export const TRACE = 4;
export const ACK = 5;
/** Repeated `Header`, as one object. */
export const HEADERS = 6;

/** Absent means absent. */
export const OPTIONAL = 0;
/** Absent means the default: zero, false, empty. */
export const DEFAULTED = 1;
export const REPEATED = 2;
/** Repeated, and absent means the empty list. */
export const LIST = 3;
/** Written also where it is the default. */
export const EXPLICIT = 4;

export type Type = number | Schema;
export type Field = [name: string, type: Type, presence: number];
export type Schema = { [number: number]: Field };

const text = (name: string): Field => [name, TEXT, OPTIONAL];
const whole = (name: string, presence = OPTIONAL): Field => [name, NUMBER, presence];
const flag = (name: string, presence = OPTIONAL): Field => [name, BOOLEAN, presence];
const texts = (name: string): Field => [name, TEXT, REPEATED];
const trace: Field = ["tp", TRACE, OPTIONAL];
const headers: Field = ["h", HEADERS, REPEATED];
const bytes: Field = ["b", BYTES, OPTIONAL];
const kind: Field = whole("k");
const message = (name: string, schema: Schema): Field => [name, schema, OPTIONAL];

export const HEADER: Schema = { 1: ["n", TEXT, DEFAULTED], 2: ["v", TEXT, DEFAULTED] };
const position: Schema = { 1: text("e"), 2: whole("q", DEFAULTED) };
const id = whole("i", DEFAULTED);

/** `Command`. */
const command: Schema = {
  1: whole("id"),
  2: message("connect", {
    1: text("token"),
    2: text("name"),
    3: text("ver"),
    4: texts("feat"),
    5: whole("ping"),
    6: trace,
  }),
  3: message("subscribe", {
    1: text("f"),
    2: message("recover", position),
    3: texts("hdr"),
    4: flag("trace"),
    5: message("from", {
      1: whole("last", EXPLICIT),
      2: ["time", TEXT, EXPLICIT],
      3: flag("last_per_subject", EXPLICIT),
    }),
    9: text("token"),
  }),
  4: message("unsubscribe", { 1: id }),
  5: message("publish", {
    1: text("s"),
    2: bytes,
    3: kind,
    4: text("mid"),
    5: ["ack", ACK, OPTIONAL],
    6: headers,
    7: trace,
  }),
  6: message("request", {
    1: text("s"),
    2: bytes,
    3: kind,
    4: whole("timeout"),
    5: headers,
    6: trace,
  }),
  9: message("history", {
    1: text("f"),
    2: message("after", position),
    3: message("before", position),
    4: whole("limit", EXPLICIT),
    5: texts("hdr"),
    6: flag("trace"),
  }),
  10: message("refresh", { 1: text("token"), 2: whole("i") }),
  11: message("receipt", { 1: trace, 2: whole("at"), 3: whole("took") }),
};

const mark: Schema = { 1: id, 2: whole("q", DEFAULTED) };

/** `Item`. `reply` and `error` become what they are in JSON. */
const item: Schema = {
  1: message("m", {
    1: id,
    2: text("s"),
    3: whole("q"),
    4: bytes,
    5: headers,
    6: trace,
    8: whole("r"),
    10: kind,
  }),
  2: message("reply", {
    1: whole("id"),
    2: message("connect", {
      1: text("cid"),
      2: text("node"),
      3: text("region"),
      4: text("ver"),
      5: whole("ping", DEFAULTED),
      6: message("limits", { 1: whole("frame"), 2: whole("subs"), 3: whole("cmds") }),
      7: texts("alt"),
      8: texts("feat"),
      9: text("user"),
      10: whole("expires"),
    }),
    3: message("subscribe", {
      1: id,
      2: flag("recoverable", DEFAULTED),
      3: flag("recovered"),
      4: text("why"),
      5: text("e"),
      6: whole("q"),
      7: whole("n"),
    }),
    4: message("publish", {
      1: ["ack", ACK, OPTIONAL],
      2: text("stream"),
      3: whole("q"),
      4: flag("dup"),
    }),
    5: message("request", { 1: bytes, 2: kind, 3: headers }),
    8: message("history", {
      1: ["m", { 1: text("s"), 2: whole("q"), 3: bytes, 4: kind, 5: headers, 6: trace }, LIST],
      2: text("e"),
      3: whole("after", DEFAULTED),
      4: whole("before", DEFAULTED),
      5: flag("more", DEFAULTED),
      6: flag("thinned"),
      7: [
        "gaps",
        { 1: whole("after", DEFAULTED), 2: whole("upto", DEFAULTED), 3: text("why") },
        REPEATED,
      ],
    }),
    9: message("refresh", { 1: whole("expires", DEFAULTED) }),
  }),
  3: message("error", {
    1: whole("id"),
    2: whole("code", DEFAULTED),
    3: ["msg", TEXT, DEFAULTED],
    4: flag("retry", DEFAULTED),
    5: whole("after_ms"),
    6: text("hint"),
  }),
  4: message("gap", { 1: id, 2: text("why"), 3: whole("after"), 4: whole("upto"), 5: text("e") }),
  5: message("unsub", { 1: id, 2: whole("code", DEFAULTED), 3: text("reason") }),
  6: message("goaway", {
    1: text("why"),
    2: ["server", TEXT, LIST],
    3: whole("least", DEFAULTED),
    4: whole("most", DEFAULTED),
    5: whole("deadline_ms", DEFAULTED),
  }),
  7: message("mesh", { 1: ["degraded", TEXT, LIST], 2: texts("stale"), 3: texts("readonly") }),
  8: message("live", mark),
  11: message("expire", { 1: whole("in", DEFAULTED), 2: whole("i") }),
  13: message("pos", mark),
};

export const CLIENT_FRAME: Schema = { 1: ["c", command, REPEATED] };
export const SERVER_FRAME: Schema = { 1: ["it", item, REPEATED] };
