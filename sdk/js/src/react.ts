/**
 * `@meridian/client/react`: hooks over the client. Safe with StrictMode, whose second mount finds
 * the subscription of the first, and on a server, where nothing is connected.
 */

import {
  createContext,
  createElement,
  type ReactNode,
  useContext,
  useEffect,
  useMemo,
  useRef,
  useSyncExternalStore,
} from "react";
import type { Mesh, MeshState, SubscribeOptions, SubscriptionState } from "./api.ts";
import type { MeshError } from "./errors.ts";
import type { Message } from "./message.ts";

const Context = createContext<Mesh | undefined>(undefined);

/** Gives a mesh to the hooks below it. */
export function MeshProvider(props: { mesh: Mesh | undefined; children?: ReactNode }): ReactNode {
  return createElement(Context.Provider, { value: props.mesh }, props.children);
}

/** The mesh of the nearest `MeshProvider`; none on a server. */
export function useMesh(): Mesh | undefined {
  return useContext(Context);
}

/** How a component's subscription stands. */
export interface Subscribed {
  state: SubscriptionState;
  error?: MeshError;
}

const PENDING = { state: "pending" as SubscriptionState };

/**
 * Subscribes while the component is mounted. Handlers may change at each render; a change of
 * `filter`, `from`, `headers` or `trace` begins a new subscription. No filter: no subscription.
 * Messages do not render the component: `onMessage` decides what does.
 */
export function useSubscription<T = unknown, const F extends string = string>(
  filter: F | undefined,
  options: SubscribeOptions<T, F> | ((message: Message<T, F>) => void),
): Subscribed {
  return useFilter<T, F>(
    filter,
    typeof options === "function" ? { onMessage: options } : options,
    false,
  );
}

/** The last message of a filter; `undefined` until there is one. Each renders the component. */
export function useLatest<T = unknown, const F extends string = string>(
  filter: F | undefined,
  options: SubscribeOptions<T, F> = {},
): Message<T, F> | undefined {
  return useFilter<T, F>(filter, options, true).message;
}

/** The state of the mesh; `idle` on a server. */
export function useMeshState(): MeshState {
  const mesh = useMesh();
  return useSyncExternalStore(
    (changed) => mesh?.on("state", changed) ?? (() => {}),
    () => mesh?.state ?? "idle",
    () => "idle",
  );
}

/** A subscription as an external store; React decides when it begins and ends. */
function useFilter<T, F extends string>(
  filter: F | undefined,
  options: SubscribeOptions<T, F>,
  keepsLatest: boolean,
): Subscribed & { message?: Message<T, F> } {
  const mesh = useMesh();
  const latest = useRef(options);
  useEffect(() => {
    latest.current = options;
  });
  const key = JSON.stringify([options.from, options.headers, options.trace]);
  const [subscribe, snapshot] = useMemo(() => {
    let now: Subscribed & { message?: Message<T, F> } = PENDING;
    const begin = (changed: () => void): (() => void) => {
      const set = (news: Partial<typeof now>): void => {
        now = { ...now, ...news };
        changed();
      };
      if (!mesh || filter === undefined) return () => {};
      const sub = mesh.subscribe<T, F>(filter, {
        ...latest.current,
        onMessage(message) {
          if (keepsLatest) set({ message });
          latest.current.onMessage?.(message);
        },
        onGap: latest.current.onGap && ((gap) => latest.current.onGap?.(gap)),
        onState(state) {
          set({ state });
          latest.current.onState?.(state);
        },
        onError(error) {
          set({ error });
          latest.current.onError?.(error);
        },
      });
      set({ state: sub.state });
      return () => sub.off();
    };
    return [begin, () => now] as const;
    // `key` stands for what it is made of.
  }, [mesh, filter, key]);
  return useSyncExternalStore(subscribe, snapshot, () => PENDING);
}
