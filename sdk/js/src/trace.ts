/**
 * `@meridian/client/trace`: tells the edge when traced messages have arrived, which ends their
 * traces at the user. `mesh.subscribe(filter, traced(mesh, onMessage))`. Not in the core: most
 * pages are not traced.
 */

import type * as api from "./api.ts";
import type { Mesh } from "./mesh.ts";
import type { Message } from "./message.ts";

/** Receipts a second at most: whoever has every message sampled must not pay twice for it. */
const RECEIPTS_PER_SECOND = 5;

/** When the last receipts of a mesh were told, in ms: a subscription more is no reason for more. */
const told = new WeakMap<api.Mesh, number[]>();

/**
 * Options for `subscribe` that ask for `trace`, and tell each sampled message's arrival and how
 * long `onMessage` took for it.
 */
export function traced<T = unknown, F extends string = string>(
  mesh: api.Mesh,
  onMessage: (message: Message<T, F>) => void,
): api.SubscribeOptions<T, F> {
  return {
    trace: true,
    onMessage(message) {
      const began = performance.now();
      try {
        onMessage(message);
      } finally {
        const { trace } = message;
        if (trace && mayTell(mesh)) tell(mesh as Mesh, trace, began);
      }
    },
  };
}

function mayTell(mesh: api.Mesh): boolean {
  const now = performance.now();
  const recent = (told.get(mesh) ?? []).filter((at) => now - at < 1000);
  const may = recent.length < RECEIPTS_PER_SECOND;
  if (may) recent.push(now);
  told.set(mesh, recent);
  return may;
}

function tell(mesh: Mesh, tp: string, began: number): void {
  const took = Math.round((performance.now() - began) * 1000);
  const at = Math.round((performance.timeOrigin + began) * 1000);
  mesh._link?._send({ receipt: { tp, at, took } });
}
