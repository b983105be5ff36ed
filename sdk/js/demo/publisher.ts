/** The publish box, and the commands that do the same from a terminal. Owned by the page. */

import { type Mesh, MeshError } from "../src/index.ts";
import { mistake } from "./filter.ts";
import { byId, onSubmit, say } from "./page.ts";
import { listenLine, meridianLine, natsLine } from "./shell.ts";
import type { Region } from "./told.ts";

export class Publisher {
  private readonly subject = byId<HTMLInputElement>("subject");
  private readonly payload = byId<HTMLInputElement>("payload");

  /** `mesh` publishes; `region` and `filter` are what the commands are for. */
  constructor(
    private readonly mesh: () => Mesh,
    private readonly region: () => Region,
    private readonly filter: () => string,
  ) {
    onSubmit(byId("publish"), () => void this.publish());
    for (const input of [this.subject, this.payload]) {
      input.addEventListener("input", () => this.showCommands());
    }
    for (const copy of document.querySelectorAll<HTMLButtonElement>("button[data-copies]")) {
      copy.addEventListener("click", () => void this.copy(copy));
    }
  }

  showCommands(): void {
    const region = this.region();
    const words = [this.subject.value.trim(), this.payload.value] as const;
    const nats = natsLine(region, ...words);
    byId("nats-line").parentElement!.hidden = nats === undefined;
    say(byId("nats-line"), nats ?? "");
    say(byId("meridian-line"), meridianLine(region, ...words));
    say(byId("curl-line"), listenLine(region, this.filter()));
  }

  private async publish(): Promise<void> {
    const subject = this.subject.value.trim();
    const said = byId("published");
    const wrong =
      mistake(subject) ??
      (/[*>]/.test(subject) ? "Publish to one subject: no wildcards." : undefined);
    this.subject.setAttribute("aria-invalid", String(wrong !== undefined));
    if (wrong) return say(said, wrong);
    say(said, "");
    try {
      const mesh = this.mesh();
      const { ack, stream, q } = await mesh.publish(subject, read(this.payload.value));
      const where = mesh.edge?.region ?? "the region";
      say(
        said,
        ack === "stream"
          ? `Stored in ${stream} as number ${q}.`
          : `Taken by the NATS server of ${where}.`,
      );
    } catch (error) {
      const { message, hint } = error as MeshError;
      say(said, `Not published: ${message}${hint ? ` (${hint})` : ""}.`);
    }
  }

  private async copy(button: HTMLButtonElement): Promise<void> {
    try {
      await navigator.clipboard.writeText(byId(button.dataset["copies"]!).textContent ?? "");
      say(byId("said"), "Copied.");
    } catch {
      say(byId("said"), "The browser does not allow copying: select the line instead.");
    }
  }
}

/** JSON as it was typed if it is JSON, else text: what the command line does too. */
function read(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
