/**
 * One page's session in the worker: answers commands as an edge does, out of the mesh that all
 * pages share. Owned by its hub.
 */

import type { Subscription } from "../api.ts";
import { MeshError } from "../errors.ts";
import type { Message } from "../message.ts";
import type { Msg, Position, Subscribe } from "../wire.ts";
import type { Hub } from "./hub.ts";
import type { PageCommand, WorkerItem } from "./port.ts";

/** Most pages of history that one late subscription reads before it tells a gap. */
const PAGES_MAX = 20;
/** Messages a page of them. */
const PAGE = 250;
/** The command is not known, or not for this subject. */
const UNKNOWN = 104;
const NOT_AVAILABLE = 108;
const BAD_REQUEST = 107;

export class Session {
  private readonly _subs = new Map<number, Subscription>();
  private _i = 0;
  private _isConnected = false;
  private _stopWaiting = (): void => {};

  constructor(
    private readonly _hub: Hub,
    private readonly _post: (items: WorkerItem[]) => void,
    private readonly _closed: (code: number, reason: string) => void,
  ) {
    _hub._sessions.add(this);
  }

  _take(command: PageCommand): void {
    const { id, connect, subscribe, unsubscribe, token, publish, request, history } = command;
    const answer = (item: WorkerItem): void => this._post([{ id: id as number, ...item }]);
    const failed = (error: unknown): void => answer({ error: asItem(error) });
    if (token) this._hub._tokenAnswered(token);
    else if (connect) this._connect(answer);
    else if (subscribe) this._subscribe(subscribe, answer, failed);
    else if (unsubscribe) {
      const sub = this._subs.get(unsubscribe.i);
      this._subs.delete(unsubscribe.i);
      sub?.off();
      if (sub) answer({});
      else failed(new MeshError(BAD_REQUEST, "no such subscription"));
    } else if (publish || request || history) {
      const { id: _id, ...plain } = command;
      // The page has its own time limit; here is one so that nothing stays for ever.
      const timeout = 60_000 + (request?.timeout ?? 0);
      const isRepeatable = !!publish?.mid || !!history;
      this._hub._mesh
        ._call(plain, { timeout }, isRepeatable)
        .then((item) => id !== undefined && answer({ ...item, id }), failed);
    } else if (!("bye" in command)) failed(new MeshError(UNKNOWN, "no such command"));
  }

  /** Whether a subscription of this page is on the filter. */
  _holds(filter: string): boolean {
    return [...this._subs.values()].some((sub) => sub.filter === filter);
  }

  /** Something that concerns all pages. */
  _told(item: WorkerItem): void {
    if (!this._isConnected) return;
    this._post([item]);
    const { state, code, reason } = item.state ?? {};
    if (state === "closed") this._closed(code as number, reason as string);
  }

  _end(): void {
    this._stopWaiting();
    this._hub._sessions.delete(this);
    for (const sub of this._subs.values()) sub.off();
    this._subs.clear();
  }

  /** The answer comes when the worker's own connection stands. */
  private _connect(answer: (item: WorkerItem) => void): void {
    const { _mesh } = this._hub;
    const look = (): void => {
      const { edge, why, state } = _mesh;
      if (state === "closed") this._closed(why.code, why.reason);
      if (!edge) return;
      this._stopWaiting();
      this._isConnected = true;
      answer({ connect: edge });
      this._post([{ mesh: _mesh.health as NonNullable<WorkerItem["mesh"]> }]);
    };
    this._stopWaiting = _mesh.on("state", look);
    look();
  }

  private _subscribe(
    { f, recover, from, hdr, trace }: Subscribe,
    answer: (item: WorkerItem) => void,
    failed: (error: unknown) => void,
  ): void {
    const { _mesh } = this._hub;
    const i = ++this._i;
    // Others hold the filter, so the edge cannot be asked for another start: history is.
    const isLate = !!(from || recover) && [...this._hub._sessions].some((page) => page._holds(f));
    let waiting: WorkerItem[] | undefined = isLate ? [] : undefined;
    let mark: Position | undefined;
    let isAnswered = false;
    const tell = (item: WorkerItem): void => {
      if (waiting) waiting.push(item);
      else this._post([item]);
    };
    const reply = (): void => {
      const { position, state } = sub;
      if (isAnswered || state === "pending" || state === "closed") return;
      if (from && !position) {
        // Nothing was recovered: the gap that follows says where it stands.
        if (!isLate) return;
        this._drop(i);
        return failed(new MeshError(NOT_AVAILABLE, "nothing is stored"));
      }
      isAnswered = true;
      mark = position;
      const standing = { i, recoverable: !!position, e: position?.e, q: position?.q };
      const isOther = recover && recover.e !== position?.e;
      if (isOther) {
        const why = position ? "epoch" : "ephemeral";
        answer({ subscribe: { ...standing, recovered: false, why } as never });
        if (position) this._post([{ gap: { i, why, after: recover.q, upto: position.q } }]);
        waiting = undefined;
        return;
      }
      const q = recover?.q ?? (isLate ? 0 : position?.q);
      answer({ subscribe: { ...standing, q, ...(recover && { recovered: true }) } as never });
      if (isLate) void late(position as Position);
      else if (state === "live" && (from || recover)) live();
    };
    const live = (): void => {
      if (sub.position) tell({ live: { i, q: sub.position.q } });
    };
    const late = async (position: Position): Promise<void> => {
      try {
        await this._catchUp(f, i, recover, from, { hdr, trace });
      } catch (error) {
        const why = error instanceof MeshError && error.code === 112 ? "epoch" : "limit";
        this._post([
          { gap: { i, why, after: recover?.q, upto: position.q, e: position.e } as never },
        ]);
      }
      const kept = waiting ?? [];
      waiting = undefined;
      this._post([...kept, { live: { i, q: sub.position?.q ?? position.q } }]);
    };
    const sub = _mesh.subscribe(f, {
      ...(!isLate && { from, position: recover }),
      headers: hdr,
      trace,
      onState: (state) => {
        reply();
        if (state === "live" && isAnswered && !isLate) live();
      },
      onMessage: (message: Message) => {
        reply();
        tell({ m: { ...(message._raw as Msg), i, s: message.subject } });
        // On a wildcard the position moves by marks only.
        const at = sub.position;
        if (at && mark && at.q !== mark.q && at.q !== message.seq) tell({ pos: { i, q: at.q } });
        mark = at;
      },
      onGap: (gap) => {
        reply();
        const e = sub.position?.e;
        tell({ gap: { i, ...gap, ...(e !== mark?.e && { e }) } as never });
        mark = sub.position;
      },
      onError: (error) => {
        if (!isAnswered) failed(error);
        else if (this._drop(i))
          this._post([{ unsub: { i, code: error.code, reason: error.message } }]);
      },
    });
    this._subs.set(i, sub);
    reply();
  }

  /** Brings a late subscription from its start to the present. */
  private async _catchUp(
    f: string,
    i: number,
    recover: Position | undefined,
    from: Subscribe["from"],
    { hdr, trace }: Pick<Subscribe, "hdr" | "trace">,
  ): Promise<void> {
    const { _mesh } = this._hub;
    const last = from && "last" in from ? from.last : undefined;
    if (from && last === undefined) throw new MeshError(NOT_AVAILABLE, "only `last` beside others");
    let after = recover;
    for (let pages = 0; pages < PAGES_MAX; pages++) {
      const where = after ? { after, limit: PAGE } : { limit: last };
      const page = await _mesh.history(f, { ...where, headers: hdr, trace } as never);
      const gaps = (page.gaps ?? []).map((gap) => ({ gap: { i, ...gap } as never }));
      const messages = page.messages.map((m) => ({
        m: { ...(m._raw as Msg), i, s: m.subject, r: 1 },
      }));
      this._post([...(recover ? gaps : []), ...messages]);
      if (!recover || !page.more) return;
      after = page.after;
    }
    throw new MeshError(NOT_AVAILABLE, "too far behind");
  }

  private _drop(i: number): boolean {
    this._subs.get(i)?.off();
    return this._subs.delete(i);
  }
}

function asItem(error: unknown): NonNullable<WorkerItem["error"]> {
  const { code = 100, message, retry = false, afterMs, hint } = error as MeshError;
  return { code, msg: message, retry, after_ms: afterMs, hint } as never;
}
