/** The page's side of `meridian dev`: which processes run, and the orders to kill and revive. */

/** How often the page asks what runs. */
const POLL_MS = 1_000;

export interface RegionState {
  name: string;
  /** Whether it was killed by an order and not revived. */
  killed: boolean;
  /** Process ids; null for what does not run. */
  nats_pid: number | null;
  edges: { id: string; pid: number | null }[];
}

export type Order = "kill" | "revive";

export class Control {
  constructor(
    private readonly at: { url: string; token: string },
    private readonly changed: (regions: RegionState[]) => void,
  ) {
    void this.poll();
  }

  /** Resolves when the order is carried out: a killed region's processes are gone then. */
  async order(region: string, order: Order): Promise<void> {
    await this.ask(`/dev/regions/${encodeURIComponent(region)}/${order}`, "POST");
  }

  private async ask(path: string, method: string): Promise<void> {
    const headers = { authorization: `Bearer ${this.at.token}` };
    const answer = await fetch(this.at.url + path, { method, headers });
    if (!answer.ok) throw new Error(`HTTP ${answer.status}`);
    this.changed((await answer.json()).regions);
  }

  private async poll(): Promise<void> {
    try {
      // A page that nobody sees need not know.
      if (document.visibilityState === "visible") await this.ask("/dev/state", "GET");
      setTimeout(() => void this.poll(), POLL_MS);
    } catch {
      // `meridian dev` has ended: the page cannot come back without being loaded again.
      this.changed([]);
    }
  }
}

/** Whether all of a region's processes run. */
export function isWhole({ nats_pid, edges }: RegionState): boolean {
  return nats_pid !== null && edges.every(({ pid }) => pid !== null);
}

/** How many of a region's processes run. */
export function running({ nats_pid, edges }: RegionState): number {
  return [nats_pid, ...edges.map(({ pid }) => pid)].filter((pid) => pid !== null).length;
}
