/**
 * A connection to one region and to no other, which the page publishes by and listens with to
 * measure: what it publishes is timed on the way to every other probe of the page. One clock
 * serves for both ends, since both are here. Owned by the page.
 */

import { connect, type Mesh, webSocket } from "../src/index.ts";
import { traced } from "../src/trace.ts";
import type { Region } from "./told.ts";
import { TRACED } from "./waterfall.ts";

/** How often each probe publishes. */
const PULSE_MS = 1_000;

interface Pulse {
  from: string;
  at: number;
}

export class Probe {
  private mesh: Mesh | undefined;
  private stopTimer: (() => void) | undefined;

  /** `arrived` is told of each pulse that this region's edge delivers. */
  constructor(
    readonly region: Region,
    private readonly subject: string,
    private readonly arrived: (from: string, latency_ms: number) => void,
    private readonly changed: () => void,
  ) {
    this.start();
  }

  get isOpen(): boolean {
    return this.mesh?.state === "open";
  }

  /** Publishes by this region; undefined while it cannot. */
  get publisher(): Mesh | undefined {
    return this.isOpen ? this.mesh : undefined;
  }

  /** Connects, or does so again at once. */
  start(): void {
    this.stop();
    const { ws } = this.region;
    this.mesh = connect(ws, {
      name: "demo page, probe",
      // Edges tell of others, and the client would go there: this one stays.
      transport: (_url, options, events) => webSocket(ws, options, events),
    });
    this.mesh.on("state", this.changed);
    // Nobody cares for a pulse that was missed while the connection was away.
    const onGap = (): void => {};
    const onMessage = (message: { json(): Pulse }): void => {
      const { from, at } = message.json();
      this.arrived(from, performance.now() - at);
    };
    this.mesh.subscribe<Pulse>(this.subject, { onMessage, onGap, onError: onGap });
    // What the page has traced ends its way here, in every region.
    this.mesh.subscribe(TRACED, { ...traced(this.mesh, () => {}), onGap, onError: onGap });
    const timer = setInterval(() => this.pulse(), PULSE_MS);
    this.stopTimer = () => clearInterval(timer);
  }

  /** Leaves; a region that is known to be dead need not be tried. */
  stop(): void {
    this.stopTimer?.();
    this.mesh?.close();
    this.mesh = undefined;
  }

  private pulse(): void {
    const pulse: Pulse = { from: this.region.name, at: performance.now() };
    // Without an answer: the pulse itself is one.
    this.publisher?.publish(this.subject, pulse, { ack: "none" }).catch(() => {});
  }
}
