/**
 * A model of the mesh for tests: streams, edges and connections in memory, by the rules of
 * `proto/PROTOCOL.md`. It delivers when the test says so, duplicates nothing, and loses nothing
 * that it does not tell. Not a mock of nats-server: the client's real-edge tests use the real one.
 */

import { json } from "../src/json.ts";
import type { Dial, TransportEvents } from "../src/transport.ts";
import type { Command, Item, Subscribe } from "../src/wire.ts";

export interface Stored {
  s: string;
  q: number;
  d: unknown;
}

export function matches(filter: string, subject: string): boolean {
  const tokens = subject.split(".");
  const parts = filter.split(".");
  return (
    parts.every((part, at) =>
      part === ">"
        ? tokens.length > at
        : tokens[at] !== undefined && (part === "*" || part === tokens[at]),
    ) &&
    (parts.at(-1) === ">" || parts.length === tokens.length)
  );
}

/** One durable stream (first token `orders`) and everything else ephemeral. */
export class World {
  epoch = "ORDERS_1@1";
  stored: Stored[] = [];
  last = 0;
  /** Sequences below this are expired. */
  first = 1;
  /** More missed messages than this are not replayed. */
  replayMax = 5000;
  connections: Connection[] = [];
  /** URLs that refuse. */
  down = new Set<string>();
  /** Close code for the next connect commands, for example 3500. */
  refuse: number | undefined;
  tokens: (string | undefined)[] = [];
  dialled: string[] = [];
  alternates: string[] = [];
  /** Sees each connection before it opens. */
  onDial: ((connection: Connection) => void) | undefined;
  /** Whether an edge misses a message on a wildcard at first. */
  isMissed: () => boolean = () => false;

  dial: Dial = (url, _options, events) => {
    this.dialled.push(url);
    const connection = new Connection(this, url, events);
    this.connections.push(connection);
    this.onDial?.(connection);
    queueMicrotask(() => {
      if (this.down.has(url)) connection.drop(1006);
      else connection.open();
    });
    return connection;
  };

  get live(): Connection[] {
    return this.connections.filter((connection) => connection.isUp);
  }

  publish(s: string, d: unknown): void {
    const isDurable = s.startsWith("orders.");
    const message = isDurable ? { s, d, q: ++this.last } : { s, d };
    if (isDurable) this.stored.push(message as Stored);
    for (const connection of this.live) connection.message(message);
  }

  /** The stream begins anew. */
  renew(): void {
    this.epoch = `ORDERS_${Number(this.epoch.split("_")[1]?.split("@")[0]) + 1}@1`;
    this.stored = [];
    this.last = 0;
    this.first = 1;
    for (const connection of this.live) connection.drop(1006);
  }

  expire(below: number): void {
    this.first = Math.max(this.first, below);
    this.stored = this.stored.filter((message) => message.q >= this.first);
  }
}

interface Held {
  f: string;
  /** The highest sequence that was delivered, or is late. */
  q: number;
  /** What the edge has missed on the way to it, and will deliver behind later messages. */
  late: Stored[];
}

export class Connection {
  codec = json;
  bufferedAmount = 0;
  isUp = false;
  isConnected = false;
  commands: Command[] = [];
  frames: Command[][] = [];
  held = new Map<number, Held>();
  /** Answers are held back while true. */
  isMute = false;
  private _queue: Item[] = [];
  private _i = 0;
  private _isOver = false;

  constructor(
    readonly world: World,
    readonly url: string,
    private readonly _events: TransportEvents,
  ) {}

  open(): void {
    if (this._isOver) return;
    this.isUp = true;
    this._events.opened();
  }

  send(frame: string | Uint8Array): void {
    const commands = String(frame)
      .split("\n")
      .map((line) => JSON.parse(line) as Command);
    this.frames.push(commands);
    for (const command of commands) this._command(command);
    if (!this.isMute) this.deliver();
  }

  close(code: number, reason: string): void {
    this.drop(code, reason);
  }

  /** The connection ends; what is queued is lost. */
  drop(code: number, reason = ""): void {
    if (this._isOver) return;
    this._isOver = true;
    this.isUp = false;
    this._queue = [];
    this._events.closed(code, reason);
  }

  /** Sends what is queued: up to so many items. */
  deliver(items_max = Infinity): void {
    while (this.isUp && this._queue.length && items_max-- > 0) {
      this._events.frame(JSON.stringify(this._queue.shift()));
    }
  }

  get queued(): number {
    return this._queue.length;
  }

  push(item: Item): void {
    this._queue.push(item);
    if (!this.isMute) this.deliver();
  }

  /** Hands a live message to those who hold a filter for it. */
  message(message: { s: string; d: unknown; q?: number }): void {
    for (const [i, held] of this.held) {
      if (!matches(held.f, message.s)) continue;
      if (message.q !== undefined && message.q <= held.q) continue;
      if (message.q !== undefined) {
        held.q = message.q;
        if (/[*>]/.test(held.f) && this.world.isMissed()) {
          held.late.push(message as Stored);
          continue;
        }
        this._repair(i, held, message.s);
      }
      this._queue.push({ m: { i, ...message } });
    }
    if (!this.isMute) this.deliver();
  }

  /** Tells the mark of each wildcard filter on the stream. */
  mark(): void {
    for (const [i, held] of this.held) {
      const isWild = /[*>]/.test(held.f) && held.f.startsWith("orders");
      const q = Math.min(held.q, ...held.late.map((message) => message.q - 1));
      if (isWild) this._queue.push({ pos: { i, q } });
    }
    if (!this.isMute) this.deliver();
  }

  /** Delivers what is late. */
  repair(): void {
    for (const [i, held] of this.held) this._repair(i, held);
    if (!this.isMute) this.deliver();
  }

  private _repair(i: number, held: Held, subject?: string): void {
    const isDue = ({ s }: Stored): boolean => subject === undefined || s === subject;
    for (const message of held.late.filter(isDue)) this._queue.push({ m: { i, ...message } });
    held.late = held.late.filter((message) => !isDue(message));
  }

  private _command(command: Command): void {
    this.commands.push(command);
    const { id } = command;
    const reply = (body: Item): void => void this._queue.push({ ...(id && { id }), ...body });
    const error = (code: number, retry = false): void => {
      reply({ error: { code, msg: `error ${code}`, retry } });
    };
    if (command.connect) {
      this.world.tokens.push(command.connect.token);
      const { refuse } = this.world;
      if (refuse !== undefined) {
        // A refused token has an error before the close, as at a real edge.
        if (refuse === 3500) error(101);
        this.deliver();
        return this.drop(refuse);
      }
      this.isConnected = true;
      const limits = { frame: 65536, subs: 128, cmds: 64 };
      const { alternates: alt } = this.world;
      const node = this.url;
      return reply({
        connect: {
          cid: "c",
          node,
          region: "eu",
          ver: "0",
          ping: 25,
          limits,
          ...(alt.length && { alt }),
        },
      });
    }
    if (command.subscribe) return this._subscribe(command.subscribe, reply, error);
    if (command.unsubscribe) {
      if (!this.held.delete(command.unsubscribe.i)) return error(107);
      return reply({});
    }
    if (command.publish) {
      const { s, d } = command.publish;
      this.world.publish(s, d);
      if (!id) return;
      const isDurable = s.startsWith("orders.");
      const stored = { ack: "stream", stream: "ORDERS_1", q: this.world.last, dup: false };
      return reply({ publish: isDurable ? stored : { ack: "edge" } });
    }
    if (command.receipt) return;
    if (command.request) return reply({ request: { t: "hi" } });
    if (command.history) {
      const { f, after, limit = 100 } = command.history;
      const fitting = this.world.stored.filter(({ s, q }) => matches(f, s) && q > (after?.q ?? 0));
      const page = after ? fitting.slice(0, limit) : fitting.slice(-limit);
      const m = page.map((message) => ({ i: 0, ...message }));
      const last = page.at(-1)?.q ?? after?.q ?? this.world.last;
      const more = page.length < fitting.length;
      const { epoch: e } = this.world;
      return reply({ history: { m, e, after: last, before: page[0]?.q ?? last, more } });
    }
    error(104);
  }

  private _subscribe(
    { f, recover, from }: Subscribe,
    reply: (item: Item) => void,
    error: (code: number) => void,
  ): void {
    const { world } = this;
    if (f.startsWith("nowhere.")) return error(102);
    if ([...this.held.values()].some((held) => held.f === f)) return error(105);
    const i = ++this._i;
    if (!f.startsWith("orders.")) {
      if (from) return error(108);
      this.held.set(i, { f, q: 0, late: [] });
      const answer = recover && { recovered: false, why: "ephemeral" };
      return reply({ subscribe: { i, recoverable: false, ...answer } });
    }
    const base = { i, recoverable: true, e: world.epoch };
    this.held.set(i, { f, q: world.last, late: [] });
    const replay = (messages: Stored[], q: number, extra: object): void => {
      reply({ subscribe: { ...base, q, n: messages.length, ...extra } });
      for (const message of messages) this._queue.push({ m: { i, r: 1, ...message } });
      this._queue.push({ live: { i, q: world.last } });
    };
    const fitting = world.stored.filter((message) => matches(f, message.s));
    if (from && "last" in from) return replay(fitting.slice(-from.last), 0, {});
    if (from && "last_per_subject" in from) {
      const last = new Map(fitting.map((message) => [message.s, message]));
      return replay(
        [...last.values()].sort((a, b) => a.q - b.q),
        world.last,
        {},
      );
    }
    if (!recover) return reply({ subscribe: { ...base, q: world.last } });
    const lose = (why: string): void => {
      reply({ subscribe: { ...base, q: world.last, recovered: false, why } });
      this._queue.push({ gap: { i, after: recover.q, upto: world.last, why } });
    };
    if (recover.e !== world.epoch) return lose("epoch");
    if (recover.q + 1 < world.first) return lose("expired");
    const missed = fitting.filter((message) => message.q > recover.q);
    if (missed.length > world.replayMax) return lose("limit");
    replay(missed, recover.q, { recovered: true });
  }
}
