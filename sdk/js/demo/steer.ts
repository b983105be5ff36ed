/**
 * Where the page's one connection goes: a transport that can be told to move, and not to try a
 * region that is known to be dead. Owned by the page.
 */

import type { Dial, TransportEvents } from "../src/index.ts";

export class Steering {
  /** Of the connection that was made last. */
  private events: TransportEvents | undefined;

  /** `isDead` says what not to try. */
  constructor(
    private readonly through: Dial,
    private readonly isDead: (url: string) => boolean,
  ) {}

  readonly dial: Dial = (url, options, events) => {
    // It would fail by itself; but browsers write each refused connection on the console.
    if (this.isDead(url)) throw new Error(`${url} is dead`);
    const transport = this.through(url, options, events);
    this.events = events;
    return transport;
  };

  /**
   * Moves to another edge the way an edge asks for it: the client connects there first, resumes,
   * and leaves then. So nothing breaks, and nothing comes twice.
   */
  move(url: string): void {
    const goaway = { why: "moved", server: [url], after_ms: [0, 0], deadline_ms: 0 };
    this.events?.frame(JSON.stringify({ goaway }));
  }
}
