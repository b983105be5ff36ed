/**
 * What a page and its SharedWorker say to each other over a port. The worker is to the page what an
 * edge is: the same commands and items, as objects, and a few of their own.
 */

import type { MeshOptions, MeshState, TokenRequest, Why } from "../api.ts";
import type { Command, ConnectReply, Item } from "../wire.ts";

/** The first thing on a port: what to connect to, and how. */
export interface Hello {
  urls: string[];
  options: Pick<MeshOptions, "name" | "version" | "ping">;
  /** A lock that the page holds for as long as it lives, where the browser has locks. */
  lock: string | undefined;
}

/** A page to its worker, after that. */
export interface PageCommand extends Command {
  /** The answer to `token` below. */
  token?: { token?: string; expiresAt?: number; error?: string };
  /** The page leaves. */
  bye?: true;
}

/** A worker to its pages. */
export interface WorkerItem extends Item {
  /** How the worker's own connection stands, and with which edge. */
  state?: Why & { state: MeshState; edge: ConnectReply | undefined };
  /** The worker needs a token. */
  token?: TokenRequest;
}
