/**
 * The page that `meridian dev` opens with: puts the parts together. One connection is the page's
 * own, which moves when its region dies; beside it a probe stays in each region, to publish and to
 * measure. Everything was loaded when it starts, so the edge that served it may die.
 */

import { connect, type Mesh } from "../src/index.ts";
import { fallback } from "../src/fallback.ts";
import { Card } from "./cards.ts";
import { Control, isWhole, type Order, type RegionState } from "./control.ts";
import { inMs, Latencies } from "./latency.ts";
import { WorldMap } from "./map.ts";
import { Orders } from "./orders.ts";
import { byId, say } from "./page.ts";
import { Playground } from "./playground.ts";
import { Probe } from "./probe.ts";
import { Publisher } from "./publisher.ts";
import { Steering } from "./steer.ts";
import { Waterfall } from "./waterfall.ts";
import { askMesh, type Region, type Told } from "./told.ts";

/** How often the figures are written anew: fast enough to look live, slow enough to be read. */
const SHOW_MS = 250;
/** More orders without an acknowledgement than this mean that something is down. */
const WAITING_SHOWN = 20;

class Demo {
  private readonly cards = new Map<string, Card>();
  private readonly map: WorldMap;
  private readonly probes: Probe[];
  private readonly orders: Orders;
  private readonly playground: Playground;
  private readonly publisher: Publisher;
  private readonly waterfall = new Waterfall();
  private readonly all = new Latencies();
  private readonly byRegion = new Map<string, Latencies>();
  private readonly control: Control | undefined;
  private states: RegionState[] = [];
  private readonly mesh: Mesh;
  private readonly steering = new Steering(fallback(), (url) => this.isDead(url));
  /** Regions that were killed by an order, and are not back. */
  private readonly dead = new Set<string>();
  /** Orders under way: what is known of the processes may be older than they. */
  private ordering = 0;
  /** Where the page's connection is, or was last. */
  private region: Region;

  constructor(private readonly told: Told) {
    const { regions, control, rtt_ms } = told;
    // Several pages may be open: each listens to itself.
    const page = [...crypto.getRandomValues(new Uint8Array(4))]
      .map((byte) => byte.toString(36))
      .join("");
    this.map = new WorldMap(byId("map"), regions, rtt_ms);
    this.probes = regions.map((region) => {
      const arrived = (from: string, latency_ms: number): void =>
        this.measure(from, region.name, latency_ms);
      return new Probe(region, `demo.pulse.${page}`, arrived, () => this.show());
    });
    this.orders = new Orders(`orders.demo.${page}`, this.probes, (from, latency_ms) => {
      this.measure(from, this.region.name, latency_ms);
    });
    this.playground = new Playground(
      () => this.publisher?.showCommands(),
      () => this.map.pulse(this.region.name, this.region.name),
    );
    this.publisher = new Publisher(
      () => this.mesh,
      () => this.region,
      () => this.playground.filter,
    );
    if (control) this.control = new Control(control, (states) => this.take(states));
    const order = this.control && ((to: Region, what: Order) => this.order(to, what));
    for (const region of regions) {
      this.byRegion.set(region.name, new Latencies());
      this.cards.set(region.name, new Card(region, { move: (to) => this.move(to), order }));
    }
    this.region = regions.find(({ name }) => name === told.here) ?? (regions[0] as Region);
    const others = regions.filter((region) => region !== this.region);
    const urls = [this.region, ...others].map(({ ws }) => ws);
    const trace = (): string | undefined => this.waterfall.parent;
    this.mesh = connect(urls, { name: "demo page", transport: this.steering.dial, trace });
    this.mesh.on("state", () => this.show());
    this.orders.follow(this.mesh);
    this.playground.follow(this.mesh);
    this.waterfall.follow(this.mesh);
    this.publisher.showCommands();
    setInterval(() => this.show(), SHOW_MS);
  }

  private move(to: Region): void {
    say(byId("said"), `Moving to ${to.name}, without a break.`);
    this.steering.move(to.ws);
  }

  private async order(region: Region, order: Order): Promise<void> {
    // The page leaves nothing but its own connection in a region that it kills.
    if (order === "kill") this.leave(region.name);
    this.ordering++;
    try {
      await this.control!.order(region.name, order);
    } finally {
      this.ordering--;
    }
  }

  private leave(region: string): void {
    this.dead.add(region);
    this.probes.find((probe) => probe.region.name === region)?.stop();
  }

  private isDead(url: string): boolean {
    return this.told.regions.some(({ name, ws }) => ws === url && this.dead.has(name));
  }

  private measure(from: string, to: string, latency_ms: number): void {
    this.all.add(latency_ms);
    this.byRegion.get(to)?.add(latency_ms);
    this.map.pulse(from, to, latency_ms);
  }

  private take(states: RegionState[]): void {
    for (const probe of this.probes) {
      const { name } = probe.region;
      const state = states.find((known) => known.name === name);
      if (state?.killed) {
        this.leave(name);
      } else if (!this.ordering && state && isWhole(state) && this.dead.delete(name)) {
        probe.start();
      }
    }
    this.states = states;
    this.show();
  }

  private show(): void {
    const { mesh, orders, told } = this;
    const { ledger, failover_ms } = orders;
    const { edge, state } = mesh;
    const region = told.regions.find(({ name }) => name === edge?.region);
    if (region && region !== this.region) {
      this.region = region;
      this.publisher.showCommands();
    }
    for (const probe of this.probes) {
      const { name } = probe.region;
      const isHere = state === "open" && name === this.region.name;
      const latency = inMs(this.byRegion.get(name)?.quantile(0.5));
      const known = this.states.find((one) => one.name === name);
      this.cards.get(name)?.show({ isHere, isOpen: probe.isOpen, latency, state: known });
      this.map.mark(name, isHere ? "here" : probe.isOpen ? "open" : "down");
    }
    say(
      byId("connection"),
      state === "open"
        ? `Connected to ${edge?.node} in ${edge?.region}`
        : "Looking for another edge…",
    );
    say(byId("published-count"), String(ledger.published));
    say(byId("received-count"), String(ledger.received));
    say(byId("p50"), inMs(this.all.quantile(0.5)));
    say(byId("p99"), inMs(this.all.quantile(0.99)));
    const failover = failover_ms === undefined ? "–" : `${Math.round(failover_ms)} ms`;
    say(byId("missed"), `missed ${orders.missed}`);
    say(byId("replayed"), `replayed ${orders.replayed}`);
    say(byId("failover"), `failover ${failover}`);
    byId("missed").className = orders.missed ? "bad" : "good";
    const more = [
      ledger.repeated && `${ledger.repeated} came twice`,
      ledger.told && `${ledger.told} told as a gap`,
      state === "open" && !orders.isLive && "reading up from this region's copy, which is behind",
      orders.waiting > WAITING_SHOWN &&
        `${orders.waiting} wait for their home region ${told.regions[0]?.name}`,
    ];
    say(byId("more"), more.filter(Boolean).join(", "));
  }
}

askMesh().then(
  (told) => new Demo(told),
  (error) => say(byId("connection"), `The page cannot start: ${error.message}. Load it again.`),
);
