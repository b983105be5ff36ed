/** A network between a page and an edge, as a TCP proxy: it can go dead without a word. */

import { createServer, connect as dial, type AddressInfo, type Socket } from "node:net";

export interface Line {
  /** The edge's WebSocket address, through the line. */
  ws: string;
  /** Sockets stay, and nothing moves any more. */
  cut(): void;
  /** What was cut is reset, and new connections work. */
  heal(): void;
  stop(): void;
}

export async function openLine(ws: string): Promise<Line> {
  const { hostname, port } = new URL(ws);
  const sockets = new Set<Socket>();
  let isCut = false;
  const server = createServer((client) => {
    const edge = dial(Number(port), hostname);
    for (const [socket, other] of [
      [client, edge],
      [edge, client],
    ] as const) {
      sockets.add(socket);
      socket.on("data", (data) => isCut || other.destroyed || other.write(data));
      // What ends while the line is cut ends unheard.
      socket.on("close", () => (sockets.delete(socket), isCut || other.destroy()));
      socket.on("error", () => {});
    }
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const reset = (): void => sockets.forEach((socket) => socket.destroy());
  const here = new URL(ws);
  here.port = String((server.address() as AddressInfo).port);
  return {
    ws: here.href,
    cut: () => void (isCut = true),
    heal: () => ((isCut = false), reset()),
    stop: () => (reset(), void server.close()),
  };
}
