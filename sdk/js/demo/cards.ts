/** The regions as text and buttons: what runs, and what may be done about it. Owned by the page. */

import { isWhole, type Order, type RegionState, running } from "./control.ts";
import { byId, element, say } from "./page.ts";
import type { Region } from "./told.ts";

/** What a card's buttons do. */
export interface Actions {
  /** Moves the page's connection to the region. */
  move(region: Region): void;
  /** Undefined outside `meridian dev`. */
  order?: (region: Region, order: Order) => Promise<void>;
}

/** What there is to say of a region. */
export interface RegionView {
  /** The page's own connection is there. */
  isHere: boolean;
  /** Its edge can be reached. */
  isOpen: boolean;
  /** Median latency of messages that arrive there, for people. */
  latency: string;
  /** Unknown outside `meridian dev`. */
  state: RegionState | undefined;
}

export class Card {
  private readonly status = element("p", "status");
  private readonly processes = element("p", "processes");
  private readonly moveHere: HTMLButtonElement;
  private readonly kill: HTMLButtonElement | undefined;
  private order: Order = "kill";

  constructor(
    private readonly region: Region,
    actions: Actions,
  ) {
    const { name } = region;
    this.moveHere = button("Connect here", `Connect here: ${name}`, () => actions.move(region));
    const buttons = element("p", "buttons", this.moveHere);
    const { order } = actions;
    if (order) {
      this.kill = button("Kill region", `Kill region ${name}`, () => void this.carryOut(order));
      this.kill.classList.add("danger");
      buttons.append(this.kill);
    }
    const card = element(
      "li",
      "card",
      element("h3", "", name),
      this.status,
      this.processes,
      buttons,
    );
    card.dataset["region"] = name;
    byId("regions").append(card);
  }

  show({ isHere, isOpen, latency, state }: RegionView): void {
    const isDown = state ? !isWhole(state) && (state.killed || !isOpen) : !isOpen;
    const word = isDown
      ? state?.killed
        ? "killed"
        : "not reachable"
      : isHere
        ? "you are here"
        : "up";
    this.status.className = `status ${isDown ? "down" : isHere ? "here" : "open"}`;
    say(this.status, isDown ? word : `${word} · ${latency}`);
    if (state) {
      const all = state.edges.length + 1;
      const edges = state.edges.map(({ id, pid }) => `${id} ${pid ?? "–"}`);
      const pids = [`nats-server ${state.nats_pid ?? "–"}`, ...edges].join(", ");
      say(this.processes, `${running(state)} of ${all} processes: ${pids}`);
    }
    this.setOrder(state?.killed ? "revive" : "kill");
    // Not disabled: a button that goes away under the finger loses the keyboard's place.
    this.moveHere.setAttribute("aria-pressed", String(isHere));
  }

  private setOrder(order: Order): void {
    if (!this.kill || order === this.order) return;
    this.order = order;
    const word = order === "kill" ? "Kill region" : "Revive region";
    say(this.kill, word);
    this.kill.setAttribute("aria-label", `${word} ${this.region.name}`);
    this.kill.classList.toggle("danger", order === "kill");
  }

  private async carryOut(send: NonNullable<Actions["order"]>): Promise<void> {
    const { order } = this;
    const { name } = this.region;
    const said = byId("said");
    say(said, order === "kill" ? `Killing ${name}…` : `Reviving ${name}…`);
    try {
      await send(this.region, order);
      say(
        said,
        order === "kill"
          ? `${name} is killed: all its processes are gone.`
          : `${name} is starting again.`,
      );
    } catch (error) {
      say(said, `That did not work: ${error instanceof Error ? error.message : error}.`);
    }
  }
}

function button(text: string, label: string, act: () => void): HTMLButtonElement {
  const made = element("button", "", text);
  made.type = "button";
  made.setAttribute("aria-label", label);
  made.addEventListener("click", act);
  return made;
}
