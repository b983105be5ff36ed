/** The worker's end of the ports: one session a page, one hub for the same addresses. */

import { Hub } from "./hub.ts";
import type { Hello, PageCommand, WorkerItem } from "./port.ts";
import { Session } from "./session.ts";

/** How long a connection outlives the last page: one that reloads finds it. */
const LINGER_MS = 5_000;

const hubs = new Map<string, Hub>();

/** Serves one page. */
export function serve(port: MessagePort): void {
  let hello: Hello | undefined;
  let session: Session | undefined;
  let isOver = false;
  const end = (): void => {
    if (isOver) return;
    isOver = true;
    session?._end();
    if (hello) linger(keyOf(hello));
    port.close();
  };
  const close = (code: number, reason: string): void => {
    port.postMessage({ code, reason });
    end();
  };
  port.onmessage = ({ data }) => {
    if (!hello) {
      hello = data as Hello;
      // Granted when the page is gone.
      if (hello.lock) void globalThis.navigator.locks?.request(hello.lock, end);
      return;
    }
    for (const command of data as PageCommand[]) {
      if (command.bye) return end();
      session ??= new Session(
        hubFor(hello, command.connect?.token),
        (items: WorkerItem[]) => !isOver && port.postMessage(items),
        close,
      );
      session._take(command);
    }
  };
}

function hubFor(hello: Hello, token: string | undefined): Hub {
  const key = keyOf(hello);
  let hub = hubs.get(key);
  if (!hub || hub._mesh.state === "closed") {
    hub = new Hub(hello, token);
    hubs.set(key, hub);
  }
  return hub;
}

function linger(key: string): void {
  setTimeout(() => {
    const hub = hubs.get(key);
    if (!hub || hub._sessions.size) return;
    hubs.delete(key);
    hub._end();
  }, LINGER_MS);
}

function keyOf({ urls, options }: Hello): string {
  return JSON.stringify([urls, options]);
}
