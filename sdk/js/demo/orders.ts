/**
 * The stream that shows that nothing is lost: numbered orders, published by turns through every
 * region that can be reached, each acknowledged by the durable stream, and received by the page's
 * one connection, wherever that is. Owned by the page.
 */

import type { Mesh, Position, Subscription } from "../src/index.ts";
import { Ledger } from "./ledger.ts";
import type { Probe } from "./probe.ts";

/** How often an order is published. */
const EVERY_MS = 100;
/** How many may wait for their acknowledgement: none is published while their home is away. */
const WAITING_MAX = 64;
/** After so long nobody knows whether an order was stored, and it is not counted. */
const ACK_MS = 60_000;
/** So many subjects under one wildcard. */
const SUBJECTS = 3;

interface Order {
  n: number;
  from: string;
  at: number;
}

export class Orders {
  readonly ledger = new Ledger();
  /** Messages from history since the connection was last lost. */
  replayed = 0;
  /** From the loss of a connection until the subscription was live again; undefined before that. */
  failover_ms: number | undefined;
  /** Orders that the stream has not acknowledged. */
  waiting = 0;
  private lostAt: number | undefined;
  private number = 0;
  private turn = 0;
  private sub: Subscription<Order> | undefined;

  /** `arrived` is told of each order that comes live. */
  constructor(
    private readonly root: string,
    private readonly probes: Probe[],
    private readonly arrived: (from: string, latency_ms: number) => void,
  ) {
    setInterval(() => void this.publish(), EVERY_MS);
  }

  /** The last place up to which everything has come. */
  get position(): Position | undefined {
    return this.sub?.position;
  }

  get missed(): number {
    return this.ledger.missed(this.position?.q ?? 0);
  }

  /** Receives by a connection; from the position of the one before, if there was one. */
  follow(mesh: Mesh): void {
    const { position } = this;
    if (this.sub) this.lose();
    this.sub?.off();
    mesh.on("state", (state) => state !== "open" && this.lose());
    this.sub = mesh.subscribe<Order>(`${this.root}.*`, {
      position,
      onMessage: (message) => this.take(message.json(), message.replayed),
      onGap: ({ after, upto }) => this.ledger.gap(after, upto),
      onState: (state) => state === "live" && this.live(),
      // What was published since would be missed: the counters show it.
      onError: () => {},
    });
  }

  private lose(): void {
    if (this.lostAt !== undefined) return;
    this.lostAt = performance.now();
    this.replayed = 0;
    this.failover_ms = undefined;
  }

  private live(): void {
    if (this.lostAt !== undefined) this.failover_ms = performance.now() - this.lostAt;
    this.lostAt = undefined;
  }

  private take({ n, from, at }: Order, isReplayed: boolean): void {
    this.ledger.came(n);
    if (isReplayed) this.replayed++;
    else this.arrived(from, performance.now() - at);
  }

  private async publish(): Promise<void> {
    // Before the subscription stands, nothing is owed to it.
    if (this.waiting >= WAITING_MAX || !this.position) return;
    const open = this.probes.filter((probe) => probe.isOpen);
    const probe = open[this.turn++ % open.length];
    if (!probe) return;
    const n = this.number++;
    const order: Order = { n, from: probe.region.name, at: performance.now() };
    this.waiting++;
    try {
      const options = { ack: "stream", timeout: ACK_MS } as const;
      const { q } = await probe.publisher!.publish(`${this.root}.${n % SUBJECTS}`, order, options);
      this.ledger.stored(n, q!);
    } catch {
      // Perhaps stored, perhaps not: it may come, but is not owed.
    }
    this.waiting--;
  }
}
