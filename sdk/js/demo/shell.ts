/** The commands that do from a terminal what the page does. Pure. */

import type { Region } from "./told.ts";

/** A word that any POSIX shell reads as it is. */
export function quoted(text: string): string {
  return /^[\w.:/=@-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/** Publishes what the page shows, with any NATS client. */
export function publishLine(region: Region, subject: string, payload: string): string {
  const words = `pub ${quoted(subject)} ${quoted(payload)}`;
  if (!region.nats) return `meridian ${words} --url ${region.ws}`;
  return `nats --server ${region.nats} ${words}`;
}

/** Listens to what the page shows, with nothing but HTTP. */
export function listenLine(region: Region, filter: string): string {
  return `curl -N ${quoted(`${region.http}/v1/sse?f=${encodeURIComponent(filter)}`)}`;
}
