/** A WebSocket class over the model mesh, for code that makes its own. */

import { Connection, type World } from "./model.ts";

export interface SocketClass {
  new (url: string): object;
  /** While it is, none ever opens. */
  isBlocked: boolean;
  /** How many were made. */
  count: number;
}

export function socketClass(world: () => World): SocketClass {
  return class Socket {
    static isBlocked = false;
    static count = 0;
    protocol = "";
    bufferedAmount = 0;
    onopen = (): void => {};
    onclose = (_event: unknown): void => {};
    onmessage = (_event: unknown): void => {};
    private _connection: Connection | undefined;

    constructor(url: string) {
      Socket.count++;
      if (Socket.isBlocked) {
        queueMicrotask(() => this.onclose({ code: 1006, reason: "" }));
        return;
      }
      this._connection = new Connection(world(), url, {
        opened: () => this.onopen(),
        frame: (data) => this.onmessage({ data }),
        closed: (code, reason) => this.onclose({ code, reason }),
      });
      world().connections.push(this._connection);
      queueMicrotask(() => this._connection!.open());
    }

    send(frame: string): void {
      this._connection!.send(frame);
    }

    close(code: number, reason: string): void {
      this._connection?.close(code, reason);
    }
  };
}
