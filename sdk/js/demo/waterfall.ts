/**
 * Where a message went, and what was slow: the waterfall of a traced message. The edges of a
 * development mesh publish finished spans as `traces.<trace id>`, so the page hears them over the
 * mesh itself: those of its own traced messages, and of everybody else's.
 */

import type { Mesh } from "../src/index.ts";
import { byId, element, onSubmit, say } from "./page.ts";

/** What an edge says of a finished span (`crates/proto/src/trace/span.rs`). */
export interface Span {
  trace_id: string;
  span_id: string;
  parent?: string;
  name: string;
  start_ns: number;
  end_ns: number;
  attributes: [name: string, value: string | number][];
  error?: string;
}

export interface Row {
  span: Span;
  depth: number;
  /** From the trace's beginning, and how long, in ms. */
  from_ms: number;
  took_ms: number;
}

/** Where the page publishes its traced messages; its probes listen in every region. */
export const TRACED = "demo.trace";

/** So many traces can be chosen from; the oldest goes. */
const TRACES_MAX = 20;
/** Spans of one trace; what is beyond is not shown. */
const SPANS_MAX = 200;
/** Shorter bars would not be seen, in percent. */
const BAR_MIN = 0.5;

/** Spans below their parents, siblings as they began. */
export function rowsOf(spans: Span[]): Row[] {
  const begin = Math.min(...spans.map((span) => span.start_ns));
  const ids = new Set(spans.map((span) => span.span_id));
  const ordered = [...spans].sort((a, b) => a.start_ns - b.start_ns);
  const rows: Row[] = [];
  const seen = new Set<string>();
  const descend = (span: Span, depth: number): void => {
    if (seen.has(span.span_id)) return;
    seen.add(span.span_id);
    const took_ms = (span.end_ns - span.start_ns) / 1e6;
    rows.push({ span, depth, from_ms: (span.start_ns - begin) / 1e6, took_ms });
    for (const other of ordered) if (other.parent === span.span_id) descend(other, depth + 1);
  };
  for (const span of ordered) if (!span.parent || !ids.has(span.parent)) descend(span, 0);
  return rows;
}

export class Waterfall {
  /** The span that what is published at this moment is a child of. */
  parent: string | undefined;
  /** By trace id, the oldest first. */
  private readonly traces = new Map<string, Span[]>();
  private readonly choice = byId<HTMLSelectElement>("traces");
  private readonly picture = byId("waterfall");
  private mesh?: Mesh;

  constructor() {
    onSubmit(byId("trace"), () => void this.publish());
    this.choice.addEventListener("change", () => this.show());
  }

  /** Hears finished spans. */
  follow(mesh: Mesh): void {
    this.mesh = mesh;
    // A mesh that publishes no spans has no such namespace: then there is nothing to show.
    const onError = (): void => byId("trace-section").setAttribute("hidden", "");
    mesh.subscribe("traces.*", {
      onMessage: (message) => this.take(message.json() as Span),
      onError,
    });
  }

  private async publish(): Promise<void> {
    const hex = (bytes: number): string =>
      [...crypto.getRandomValues(new Uint8Array(bytes))]
        .map((byte) => byte.toString(16).padStart(2, "0"))
        .join("");
    const trace = hex(16);
    this.parent = `00-${trace}-${hex(8)}-01`;
    const published = this.mesh!.publish(TRACED, { traced: true });
    this.parent = undefined;
    try {
      await published;
      say(byId("traced"), `Published. Its steps come within two seconds: trace ${trace}.`);
      this.choose(trace);
    } catch (error) {
      say(byId("traced"), `Not published: ${(error as Error).message}.`);
    }
  }

  private choose(trace: string): void {
    if (!this.traces.has(trace)) this.add(trace);
    this.choice.value = trace;
    this.show();
  }

  private add(trace: string): void {
    this.traces.set(trace, []);
    const option = element("option", "", trace.slice(0, 8));
    option.value = trace;
    this.choice.prepend(option);
    if (this.traces.size <= TRACES_MAX) return;
    const [oldest] = this.traces.keys();
    this.traces.delete(oldest!);
    [...this.choice.options].find(({ value }) => value === oldest)?.remove();
  }

  private take(span: Span): void {
    const isFirst = !this.traces.has(span.trace_id);
    if (isFirst) this.add(span.trace_id);
    const spans = this.traces.get(span.trace_id)!;
    if (spans.length >= SPANS_MAX) return;
    spans.push(span);
    const subject = span.attributes.find(([name]) => name === "messaging.destination.name")?.[1];
    const option = [...this.choice.options].find(({ value }) => value === span.trace_id);
    if (option && subject)
      option.textContent = `${subject} · ${span.trace_id.slice(0, 8)} · ${spans.length} steps`;
    if (this.choice.value === span.trace_id) this.show();
  }

  private show(): void {
    const spans = this.traces.get(this.choice.value) ?? [];
    const rows = spans.length ? rowsOf(spans) : [];
    const whole_ms = Math.max(...rows.map((row) => row.from_ms + row.took_ms), 0.001);
    this.picture.replaceChildren(...rows.map((row) => line(row, whole_ms)));
    const slowest = rows.filter(({ depth }) => depth).sort((a, b) => b.took_ms - a.took_ms)[0];
    if (!slowest) return say(byId("longest"), "");
    const { span, took_ms } = slowest;
    const longest = `the longest step: ${span.name}, ${took_ms.toFixed(2)} ms.`;
    say(byId("longest"), `${whole_ms.toFixed(2)} ms in all; ${longest}`);
  }
}

function line({ span, depth, from_ms, took_ms }: Row, whole_ms: number): HTMLElement {
  const name = element("span", "step", span.name);
  name.style.paddingInlineStart = `${depth * 0.6}rem`;
  const bar = element("i", span.error ? "bad" : "");
  const width = Math.max((took_ms / whole_ms) * 100, BAR_MIN);
  bar.style.width = `${width}%`;
  bar.style.marginInlineStart = `${Math.min((from_ms / whole_ms) * 100, 100 - width)}%`;
  const value = (wanted: string): string =>
    String(span.attributes.find(([other]) => other === wanted)?.[1] ?? "");
  const at = value("meridian.edge") || value("server.address") || value("cloud.region");
  const place = element("span", "at", at);
  const took = element("span", "took", `${took_ms.toFixed(2)} ms`);
  return element("li", "", name, place, took, element("span", "bar", bar));
}
