/** The commands that do from a terminal what the page does. Pure. */

import type { Region } from "./told.ts";

/** A word that any POSIX shell reads as it is. */
export function quoted(text: string): string {
  return /^[\w.:/=@-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

/** Publishes what the page shows, as any service does; none where nobody may know the server. */
export function natsLine(region: Region, subject: string, payload: string): string | undefined {
  if (!region.nats) return undefined;
  return `nats --server ${quoted(region.nats)} pub ${quoted(subject)} ${quoted(payload)}`;
}

/** The same as a client of the edge. */
export function meridianLine(region: Region, subject: string, payload: string): string {
  // A payload that begins with a dash is no option.
  return `meridian pub --url ${quoted(region.ws)} -- ${quoted(subject)} ${quoted(payload)}`;
}

/** Listens to what the page shows, with nothing but HTTP. */
export function listenLine(region: Region, filter: string): string {
  return `curl -N ${quoted(`${region.http}/v1/sse?f=${encodeURIComponent(filter)}`)}`;
}
