/**
 * `@meridian/client/fallback`: plain HTTP where WebSockets are blocked, and back when they are not.
 * `connect(url, { transport: fallback() })`.
 */

import { stream } from "./stream.ts";
import type { Dial, DialOptions } from "./transport.ts";
import { webSocket } from "./websocket.ts";

/** So many WebSockets must fail in a row, none of them ever open. */
const FAILURES = 2;
/** How long an HTTP stream stands before a WebSocket is tried beside it, at first and at most. */
const PROBE_MS = 60_000;
const PROBE_MS_MAX = 900_000;

/** A transport for one mesh: it remembers what works. */
export function fallback(options: { probeMs?: number } = {}): Dial {
  let failures = 0;

  const overWebSocket: Dial = (url, dialOptions, events) => {
    let isOpen = false;
    const failed = (): void => {
      if (!isOpen) failures++;
      isOpen = true;
    };
    try {
      const transport = webSocket(url, dialOptions, {
        ...events,
        opened() {
          isOpen = true;
          failures = 0;
          events.opened();
        },
        closed(code, reason) {
          failed();
          events.closed(code, reason);
        },
      });
      return {
        get codec() {
          return transport.codec;
        },
        get bufferedAmount() {
          return transport.bufferedAmount;
        },
        send: (frame) => transport.send(frame),
        // Also an attempt that took too long.
        close(code, reason) {
          failed();
          transport.close(code, reason);
        },
      };
    } catch (error) {
      failed();
      throw error;
    }
  };

  return (url, dialOptions, events) => {
    if (failures < FAILURES) return overWebSocket(url, dialOptions, events);
    // Each second attempt, while the stream fails as well: the edge may be what is missing.
    failures = FAILURES - 1;
    let stop = (): void => {};
    let works = (): void => {
      failures = FAILURES;
      works = () => {};
    };
    const transport = stream(url, dialOptions, {
      ...events,
      frame(frame) {
        works();
        events.frame(frame);
      },
      closed(code, reason) {
        stop();
        events.closed(code, reason);
      },
    });
    stop = probe(url, dialOptions, options.probeMs ?? PROBE_MS, () => {
      failures = 0;
      // The way an edge asks to move: the client connects first, and leaves then.
      const goaway = { why: "upgrade", server: [], after_ms: [0, 0], deadline_ms: 0 };
      events.frame(JSON.stringify({ goaway }));
    });
    return {
      codec: transport.codec,
      get bufferedAmount() {
        return transport.bufferedAmount;
      },
      send: (frame) => transport.send(frame),
      close(code, reason) {
        stop();
        transport.close(code, reason);
      },
    };
  };
}

/** Tries a WebSocket now and then, less and less often; calls back when one opens. */
function probe(
  url: string,
  options: DialOptions,
  first_ms: number,
  opened: () => void,
): () => void {
  let timer: ReturnType<typeof setTimeout>;
  const later = (ms: number): void => {
    timer = setTimeout(() => {
      let isDone = false;
      const ended = (isOpen: boolean): void => {
        if (isDone) return;
        isDone = true;
        if (isOpen) opened();
        else later(Math.min(2 * ms, PROBE_MS_MAX));
      };
      try {
        const socket = webSocket(url, options, {
          opened() {
            ended(true);
            socket.close(1000, "probe");
          },
          frame() {},
          closed: () => ended(false),
        });
      } catch {
        ended(false);
      }
    }, ms);
  };
  later(first_ms);
  return () => clearTimeout(timer);
}
