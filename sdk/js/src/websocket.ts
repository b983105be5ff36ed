/** The transport of choice: a WebSocket whose subprotocol picks the codec. */

import { json } from "./json.ts";
import { report } from "./errors.ts";
import type { Dial } from "./transport.ts";

/** An attempt that takes longer has failed: some proxies accept and never answer. */
const OPEN_MS_MAX = 10_000;
/** What a page sends when it cannot read what the edge says; the range says "try again". */
const UNREADABLE = 4400;

export const webSocket: Dial = (url, options, events) => {
  const Socket = options.WebSocket ?? WebSocket;
  const socket = new Socket(
    url,
    options.codecs.map((codec) => codec.name),
  );
  let codec = json;
  let isOver = false;
  socket.binaryType = "arraybuffer";
  const over = (code: number, reason: string): void => {
    clearTimeout(deadline);
    if (isOver) return;
    isOver = true;
    events.closed(code, reason);
  };
  // A socket that is told to close answers only when its peer does, which a dead peer never will.
  const close = (code: number, reason: string): void => {
    socket.close(code, reason);
    over(code, reason);
  };
  const deadline = setTimeout(() => close(4000, "no answer"), OPEN_MS_MAX);
  socket.onopen = () => {
    clearTimeout(deadline);
    codec = options.codecs.find((offered) => offered.name === socket.protocol) ?? json;
    if (!isOver) events.opened();
  };
  socket.onmessage = ({ data }) => {
    if (isOver) return;
    let items;
    try {
      items = codec.decode(data);
    } catch (error) {
      report(error);
      return close(UNREADABLE, "malformed item");
    }
    events.items(items);
  };
  // An error is followed by a close, which says more.
  socket.onerror = () => {};
  socket.onclose = ({ code, reason }) => over(code, reason);
  return {
    get codec() {
      return codec;
    },
    get bufferedAmount() {
      return socket.bufferedAmount;
    },
    send(frame) {
      if (socket.readyState === 1) socket.send(frame as string);
    },
    close,
  };
};
