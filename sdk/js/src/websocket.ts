/** The transport of choice: a WebSocket whose subprotocol picks the codec. */

import { json } from "./json.ts";
import type { Dial } from "./transport.ts";

export const webSocket: Dial = (url, { codecs, WebSocket: Socket = WebSocket }, events) => {
  const socket = new Socket(
    url,
    codecs.map(({ name }) => name),
  );
  const transport = {
    codec: json,
    get bufferedAmount() {
      return socket.bufferedAmount;
    },
    send: (frame: unknown) => socket.send(frame as string),
    close: (code: number, reason: string) => socket.close(code, reason),
  };
  socket.binaryType = "arraybuffer";
  socket.onopen = () => {
    transport.codec = codecs.find(({ name }) => name === socket.protocol) ?? json;
    events.opened();
  };
  socket.onmessage = ({ data }) => events.frame(data);
  // A close follows, which says more; but some classes throw errors that nobody listens to.
  socket.onerror = () => {};
  socket.onclose = ({ code, reason }) => events.closed(code, reason);
  return transport;
};
