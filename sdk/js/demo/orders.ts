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
/** How long one region may take to have an order stored, before another is asked. */
const ACK_MS = 15_000;
/** How often an order is tried: as long as a dead home may take to come back, and then some. */
const TRIES_MAX = 60;
/** The pause between two tries. */
const RETRY_MS = 500;
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

  /** Whether everything up to the present has come; not while a region's copy is read up. */
  get isLive(): boolean {
    return this.sub?.state === "live";
  }

  /** Receives by a connection, wherever that is and goes. */
  follow(mesh: Mesh): void {
    mesh.on("state", (state) => state !== "open" && this.lose());
    this.sub = mesh.subscribe<Order>(`${this.root}.*`, {
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
    if (!this.probes.some((probe) => probe.isOpen)) return;
    const n = this.number++;
    this.waiting++;
    let isStored = false;
    // An order that gets no answer is tried by another region. The stream knows it by its id, and
    // stores it once. One that is given up may come, but is not owed.
    for (let left = TRIES_MAX; left-- && !isStored; ) {
      isStored = await this.store(n);
      if (!isStored) await new Promise((later) => setTimeout(later, RETRY_MS));
    }
    this.waiting--;
  }

  private async store(n: number): Promise<boolean> {
    const open = this.probes.filter((probe) => probe.isOpen);
    const probe = open[this.turn++ % open.length];
    if (!probe) return false;
    const subject = `${this.root}.${n % SUBJECTS}`;
    const order: Order = { n, from: probe.region.name, at: performance.now() };
    try {
      const options = { ack: "stream", mid: `${this.root}.${n}`, timeout: ACK_MS } as const;
      const { q } = await probe.publisher!.publish(subject, order, options);
      this.ledger.stored(n, q!);
      return true;
    } catch {
      return false;
    }
  }
}
