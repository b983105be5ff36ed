/** What the browser tells about the page and the network. Without a browser, nothing. */

/** What the mesh does about it. */
export interface Page {
  /** The page will not run for a while, or never again. */
  _pause(): void;
  /** It runs again. */
  _resume(): void;
  /** The network may have changed: what looks open may be dead, and waiting may be over. */
  _wake(): void;
}

/** Watches until the signal is aborted. */
export function watchPage(page: Page, signal: AbortSignal): void {
  const on = (target: EventTarget | undefined, name: string, call: () => void): void =>
    target?.addEventListener?.(name, call, { signal });
  const window: EventTarget = globalThis as never;
  const { document } = globalThis as { document?: Document };
  on(window, "online", () => page._wake());
  // Only a suspicion: some systems report it while traffic flows, so nothing is closed for it.
  on(window, "offline", () => page._wake());
  // A page with an open socket is not put into the back/forward cache, so it is closed before.
  on(window, "pagehide", () => page._pause());
  on(window, "pageshow", () => page._resume());
  on(document, "freeze", () => page._pause());
  on(document, "resume", () => page._resume());
  on(document, "visibilitychange", () => document!.visibilityState === "visible" && page._resume());
}
