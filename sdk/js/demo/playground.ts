/**
 * The wildcard playground: a filter, what it matches among the subjects that are known, and the
 * messages that come by it. Owned by the page.
 */

import { type Mesh, type Message, MeshError, type Subscription } from "../src/index.ts";
import { matches, mistake } from "./filter.ts";
import { byId, element, say } from "./page.ts";

/** While somebody types, nothing is asked of the edge. */
const TYPING_MS = 400;
/** Rows of the log; older ones go, so an open page stays small. */
const ROWS_MAX = 100;
/** Subjects in the list. */
const SUBJECTS_MAX = 24;
/** Characters of a payload that are shown. */
const PAYLOAD_MAX = 500;
/** Enough to try each wildcard on. */
const EXAMPLES = [
  "demo.hello",
  "demo.room.1",
  "demo.room.1.typing",
  "demo.room.2",
  "demo.sensor.berlin.temp",
  "demo.sensor.tokyo.temp",
  "orders.eu.1",
  "orders.us.1.paid",
];

export class Playground {
  private readonly input = byId<HTMLInputElement>("filter");
  private readonly problem = byId("filter-problem");
  private readonly log = byId("log");
  private readonly subjects = new Map<string, HTMLElement>();
  private timer = 0;
  private mesh: Mesh | undefined;
  private sub: Subscription | undefined;
  private rows: HTMLElement[] = [];
  private count = 0;

  /** `changed` is called when the filter is another; `arrived` for each message. */
  constructor(
    private readonly changed: () => void,
    private readonly arrived: () => void,
  ) {
    for (const subject of EXAMPLES) this.know(subject);
    this.input.addEventListener("input", () => {
      this.look();
      clearTimeout(this.timer);
      this.timer = window.setTimeout(() => this.listen(), TYPING_MS);
    });
    byId("clear").addEventListener("click", () => this.log.replaceChildren());
    this.look();
  }

  /** The filter in use: the last good one is kept while somebody types. */
  get filter(): string {
    return this.sub?.filter ?? this.input.value;
  }

  /** Listens by this connection from now on. */
  follow(mesh: Mesh): void {
    this.mesh = mesh;
    this.listen();
  }

  /** A subject that exists. */
  know(subject: string): void {
    if (this.subjects.has(subject)) return;
    const oldest = [...this.subjects.keys()][EXAMPLES.length];
    if (this.subjects.size >= SUBJECTS_MAX && oldest !== undefined) {
      this.subjects.get(oldest)?.remove();
      this.subjects.delete(oldest);
    }
    const row = byId("subjects").appendChild(element("li", ""));
    this.subjects.set(subject, row);
    this.look();
  }

  private look(): void {
    const filter = this.input.value.trim();
    const wrong = mistake(filter);
    let count = 0;
    for (const [subject, row] of this.subjects) {
      const isMatch = !wrong && matches(filter, subject);
      if (isMatch) count++;
      if (row.dataset["match"] === String(isMatch)) continue;
      row.dataset["match"] = String(isMatch);
      row.replaceChildren(isMatch ? element("mark", "", subject) : subject);
    }
    this.complain(wrong);
    say(byId("match-count"), wrong ? "" : `${count} of ${this.subjects.size} subjects match`);
  }

  private complain(wrong: string | undefined): void {
    say(this.problem, wrong ?? "");
    this.input.setAttribute("aria-invalid", String(wrong !== undefined));
  }

  private listen(): void {
    const filter = this.input.value.trim();
    if (mistake(filter) || !this.mesh || this.sub?.filter === filter) return;
    this.sub?.off();
    this.sub = this.mesh.subscribe(filter, {
      onMessage: (message) => this.take(message),
      onGap: ({ why }) => this.note(`gap: messages may be missing here (${why})`),
      onError: (error) => this.refused(error),
    });
    this.changed();
  }

  private refused(error: MeshError): void {
    this.sub = undefined;
    this.complain(`The edge refuses it: ${error.message}${error.hint ? ` (${error.hint})` : ""}.`);
  }

  private take(message: Message): void {
    this.count++;
    this.know(message.subject);
    this.arrived();
    const payload = message.kind === "empty" ? "(empty)" : message.text().slice(0, PAYLOAD_MAX);
    this.row(element("span", "subject", message.subject), element("span", "payload", payload));
  }

  private note(text: string): void {
    this.row(element("span", "note", text));
  }

  private row(...cells: HTMLElement[]): void {
    const time = new Date().toLocaleTimeString([], { hour12: false });
    // One change of the page a picture.
    if (!this.rows.length) requestAnimationFrame(() => this.show());
    this.rows.unshift(element("li", "", element("time", "", time), ...cells));
    this.rows.length = Math.min(this.rows.length, ROWS_MAX);
  }

  private show(): void {
    this.log.prepend(...this.rows);
    this.rows = [];
    while (this.log.children.length > ROWS_MAX) this.log.lastElementChild!.remove();
    say(byId("count"), String(this.count));
  }
}
