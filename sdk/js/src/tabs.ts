/**
 * `@meridian/client/shared`: one connection for all tabs of an origin, held by a SharedWorker that
 * the application serves: `connectShared(url, () => new SharedWorker("/worker.js"))`, with
 * `@meridian/client/worker` at that address.
 */

import type * as api from "./api.ts";
import type { Codec } from "./codec.ts";
import type { Link } from "./link.ts";
import { Mesh } from "./mesh.ts";
import type { Hello, PageCommand, WorkerItem } from "./tabs/port.ts";
import type { Dial } from "./transport.ts";

/** Objects are cloned by the browser: nothing is spelled. */
const objects: Codec = {
  name: "objects",
  encode: (command) => command as never,
  join: (commands) => commands as never,
  decode: (items) => items as never,
};

/** What `connect` takes; codecs and transports are the worker's business. */
export type SharedOptions = Omit<api.MeshOptions, "codecs" | "transport" | "WebSocket">;

/** As `connect`, over a worker. Called at each attempt, `worker` begins or finds it. */
export function connectShared(
  urls: string | string[],
  worker: () => SharedWorker,
  options: SharedOptions = {},
): api.Mesh {
  const { name, version, ping } = options;
  const hello = { urls: ([] as string[]).concat(urls), options: { name, version, ping } };
  // One address for the core: which edge serves is seen by the worker.
  return new SharedMesh(hello.urls[0] as string, {
    ...options,
    transport: overPort(worker, hello),
  });
}

class SharedMesh extends Mesh {
  override _push(link: Link, item: WorkerItem): void {
    const { state, token } = item;
    if (token) void this._answer(link, token);
    else if (!state) super._push(link, item);
    else if (link === this._link) {
      if (state.edge) link._info = state.edge;
      this._set(state.state, state.code, state.reason, state.retryInMs);
    }
  }

  private async _answer(link: Link, request: api.TokenRequest): Promise<void> {
    let token: PageCommand["token"];
    try {
      const answer = await this._options.getToken?.(request);
      token = typeof answer === "object" ? answer : { token: answer };
    } catch (error) {
      token = { error: String(error) };
    }
    link._send({ token } as PageCommand);
  }
}

function overPort(worker: () => SharedWorker, hello: Omit<Hello, "lock">): Dial {
  return (_url, _options, events) => {
    const { port } = worker();
    const locks = globalThis.navigator?.locks;
    const lock = locks && `meridian-${Math.random()}`;
    let release = (): void => {};
    const begin = (): void => {
      port.postMessage({ ...hello, lock });
      events.opened();
    };
    port.onmessage = ({ data }) => {
      if (Array.isArray(data)) events.frame(data as never);
      else events.closed(data.code, data.reason);
    };
    // The worker waits for the lock that the page holds, and so learns that the page is gone,
    // however it went. It must not be there first.
    if (lock) {
      void locks.request(lock, () => {
        begin();
        return new Promise<void>((done) => (release = done));
      });
    } else queueMicrotask(begin);
    return {
      codec: objects,
      bufferedAmount: 0,
      send: (commands) => port.postMessage(commands),
      close() {
        port.postMessage([{ bye: true }]);
        port.close();
        release();
      },
    };
  };
}
