/**
 * The map: regions at their places, an arc between each two with its round trip, and a pulse for
 * each message, coloured by how long it took. Decoration for those who see it; the same figures
 * stand as text beside it. Owned by the page.
 */

import { OUTLINES, type Place, placeOf } from "./land.ts";
import { inMs, speed } from "./latency.ts";
import type { Region } from "./told.ts";

const SVG = "http://www.w3.org/2000/svg";
/** The picture, in its own units. */
const WIDTH = 1000;
const HEIGHT = 470;
/** South of here nothing is. */
const LATITUDE_MIN = -58;
const LATITUDE_MAX = 84;
/** Arcs that are longer go around the others. */
const LONG = WIDTH * 0.45;
/** How long a pulse is on its way on the map, whatever it took: long enough to be seen. */
const PULSE_MS = 700;
/** Most pulses at once; a flood shows as a stream all the same. */
const PULSES_MAX = 60;

interface Point {
  x: number;
  y: number;
}

/** Where something is on a curve from 0 to 1. */
type Curve = (at: number) => Point;

interface Arc {
  line: SVGElement;
  label: SVGElement;
}

interface Pulse {
  dot: SVGElement;
  curve: Curve | undefined;
  began: number;
}

export class WorldMap {
  private readonly points = new Map<string, Point>();
  private readonly dots = new Map<string, SVGElement>();
  private readonly arcs = new Map<string, Arc>();
  private readonly pulses = new Set<Pulse>();
  private readonly layer: SVGElement;
  private readonly isCalm = matchMedia("(prefers-reduced-motion: reduce)");

  constructor(
    private readonly root: SVGSVGElement,
    regions: Region[],
    private readonly rtt_ms: number,
  ) {
    root.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    for (const outline of OUTLINES) {
      this.add(root, "path", { class: "land", d: outlinePath(outline) });
    }
    regions.forEach(({ name }, index) => this.points.set(name, project(placeOf(name, index))));
    regions.forEach(({ name }, index) => {
      for (const other of regions.slice(index + 1)) this.drawArc(name, other.name);
    });
    this.layer = this.add(root, "g", {});
    for (const [name, { x, y }] of this.points) {
      this.dots.set(name, this.add(root, "circle", { class: "region", cx: x, cy: y, r: 9 }));
      this.add(root, "text", { class: "name", x, y: y + 34 }).textContent = name;
    }
  }

  /** Shows a region as it is. */
  mark(region: string, state: "here" | "open" | "down"): void {
    this.dots.get(region)?.setAttribute("class", `region ${state}`);
  }

  /** Shows a message on its way; `latency_ms` undefined where nobody knows when it began. */
  pulse(from: string, to: string, latency_ms?: number): void {
    const [start, end] = [this.points.get(from), this.points.get(to)];
    if (!start || !end) return;
    const arc = this.arcs.get(key(from, to));
    const colour = latency_ms === undefined ? "" : speed(latency_ms);
    if (arc && latency_ms !== undefined) {
      arc.line.setAttribute("class", `arc ${colour}`);
      arc.label.textContent = this.label(latency_ms);
    }
    if (this.pulses.size >= PULSES_MAX || this.isCalm.matches || document.hidden) return;
    const at: Attributes = arc ? { r: 6 } : { cx: start.x, cy: start.y };
    const dot = this.add(this.layer, "circle", {
      class: `${arc ? "pulse" : "ring"} ${colour}`,
      ...at,
    });
    const curve = arc && curveBetween(start, end);
    if (!this.pulses.size) requestAnimationFrame((now) => this.step(now));
    this.pulses.add({ dot, curve, began: performance.now() });
  }

  private step(now: number): void {
    for (const pulse of this.pulses) {
      const at = Math.max(0, (now - pulse.began) / PULSE_MS);
      if (at >= 1) {
        pulse.dot.remove();
        this.pulses.delete(pulse);
      } else if (pulse.curve) {
        const { x, y } = pulse.curve(at);
        set(pulse.dot, { cx: x, cy: y });
      } else {
        set(pulse.dot, { r: 9 + 22 * at, opacity: 1 - at });
      }
    }
    if (this.pulses.size) requestAnimationFrame((next) => this.step(next));
  }

  private drawArc(from: string, to: string): void {
    const [start, end] = [this.points.get(from)!, this.points.get(to)!];
    const middle = curveBetween(start, end)(0.5);
    const line = this.add(this.root, "path", { class: "arc", d: arcPath(start, end) });
    const label = this.add(this.root, "text", { class: "distance", x: middle.x, y: middle.y - 8 });
    label.textContent = this.label();
    this.arcs.set(key(from, to), { line, label });
  }

  private label(latency_ms?: number): string {
    const distance = this.rtt_ms ? `RTT ${this.rtt_ms} ms` : "";
    const last = latency_ms === undefined ? "" : inMs(latency_ms);
    return [distance, last].filter(Boolean).join(" · ");
  }

  private add(parent: SVGElement, name: string, attributes: Attributes): SVGElement {
    const made = document.createElementNS(SVG, name) as SVGElement;
    set(made, attributes);
    parent.append(made);
    return made;
  }
}

type Attributes = Record<string, string | number>;

function set(element: SVGElement, attributes: Attributes): void {
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
}

const key = (one: string, other: string): string => [one, other].sort().join(" ");

function project([longitude, latitude]: Place): Point {
  return {
    x: ((longitude + 180) / 360) * WIDTH,
    y: ((LATITUDE_MAX - latitude) / (LATITUDE_MAX - LATITUDE_MIN)) * HEIGHT,
  };
}

function outlinePath(outline: number[]): string {
  const points: string[] = [];
  for (let at = 0; at + 1 < outline.length; at += 2) {
    const { x, y } = project([outline[at] as number, outline[at + 1] as number]);
    points.push(`${x.toFixed(1)} ${y.toFixed(1)}`);
  }
  return `M${points.join("L")}Z`;
}

/** Arcs bow to the north, the longer the more; long ones to the south, where there is room. */
function control(start: Point, end: Point): Point {
  const length = Math.hypot(end.x - start.x, end.y - start.y);
  const bow = length > LONG ? length / 3 : -length / 2.5;
  const y = (start.y + end.y) / 2 + bow;
  return { x: (start.x + end.x) / 2, y: Math.min(HEIGHT, Math.max(-40, y)) };
}

function arcPath(start: Point, end: Point): string {
  const { x, y } = control(start, end);
  return `M${start.x} ${start.y}Q${x} ${y} ${end.x} ${end.y}`;
}

function curveBetween(start: Point, end: Point): Curve {
  const middle = control(start, end);
  return (at) => {
    const mix = (a: number, b: number, c: number): number =>
      (1 - at) ** 2 * a + 2 * at * (1 - at) * b + at ** 2 * c;
    return { x: mix(start.x, middle.x, end.x), y: mix(start.y, middle.y, end.y) };
  };
}
