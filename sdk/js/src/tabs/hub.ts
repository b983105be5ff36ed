/** One mesh in the worker for all pages that ask for the same addresses. Owned by the worker. */

import type { Token, TokenRequest } from "../api.ts";
import { fallback } from "../fallback.ts";
import { json } from "../json.ts";
import { Mesh } from "../mesh.ts";
import { pb } from "../pb.ts";
import type { Hello, PageCommand, WorkerItem } from "./port.ts";
import { Session } from "./session.ts";

/** How long a page has to answer for a token, before another is asked. */
const TOKEN_MS = 10_000;
/** A page that hears nothing for two of its heartbeats and more takes the worker for dead. */
const BEAT_MS = 20_000;

export class Hub {
  readonly _mesh: Mesh;
  readonly _sessions = new Set<Session>();
  /** A token that a page brought and nobody used. */
  private _brought: string | undefined;
  private _answered: ((answer: NonNullable<PageCommand["token"]>) => void) | undefined;
  private readonly _beat: ReturnType<typeof setInterval>;

  constructor(hello: Hello, token: string | undefined) {
    this._brought = token;
    this._mesh = new Mesh(hello.urls, {
      ...hello.options,
      codecs: [pb, json],
      transport: fallback(),
      ...(token !== undefined && { getToken: (request: TokenRequest) => this._token(request) }),
    });
    this._mesh.on("state", () => this._tellAll({ state: this._state() }));
    this._mesh.on("health", (mesh) => this._tellAll({ mesh: mesh as WorkerItem["mesh"] }));
    // A page's own `error` and `gap` events come of what its subscriptions are told.
    this._mesh.on("error", () => {});
    this._beat = setInterval(() => this._tellAll({}), BEAT_MS);
  }

  _state(): NonNullable<WorkerItem["state"]> {
    const { state, why, edge } = this._mesh;
    return { ...why, state, edge };
  }

  _tokenAnswered(answer: NonNullable<PageCommand["token"]>): void {
    this._answered?.(answer);
  }

  _end(): void {
    clearInterval(this._beat);
    this._mesh.close();
  }

  private _tellAll(item: WorkerItem): void {
    for (const session of this._sessions) session._told(item);
  }

  /** Asks the pages in turn: one may be frozen. */
  private async _token(request: TokenRequest): Promise<Token> {
    const brought = this._brought;
    this._brought = undefined;
    if (brought !== undefined && request.reason !== "refused") return brought;
    for (const session of [...this._sessions].reverse()) {
      session._told({ token: request });
      const answer = await new Promise<PageCommand["token"]>((done) => {
        this._answered = done;
        setTimeout(done, TOKEN_MS, undefined);
      });
      if (answer?.error !== undefined) throw new Error(answer.error);
      if (answer?.token !== undefined)
        return { token: answer.token, expiresAt: answer.expiresAt as number };
    }
    throw new Error("no page has a token");
  }
}
