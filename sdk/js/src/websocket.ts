/** The transport of choice: a WebSocket whose subprotocol picks the codec. */

import { json } from "./json.ts";
import type { Dial } from "./transport.ts";

export const webSocket: Dial = (url, { codecs, WebSocket: Socket = WebSocket }, events) => {
  const names = codecs.map(({ name }) => name);
  // A WebSocket is a transport but for the codec.
  const socket = Object.assign(new Socket(url, names), {
    codec: json,
    binaryType: "arraybuffer" as const,
    onopen() {
      socket.codec = codecs.find(({ name }) => name === socket.protocol) ?? json;
      events.opened();
    },
    onmessage: ({ data }: MessageEvent) => events.frame(data),
    // A close follows, which says more; but some classes throw errors that nobody listens to.
    onerror() {},
    onclose: ({ code, reason }: CloseEvent) => events.closed(code, reason),
  });
  return socket as typeof socket & { send(frame: unknown): void };
};
