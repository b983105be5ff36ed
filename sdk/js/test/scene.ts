/** A mesh under a clock and a network that the test owns. */

import { connect, type Gap, type Mesh, type MeshOptions } from "../src/index.ts";
import { Clock } from "./clock.ts";
import { World } from "./model.ts";

export const A = "ws://a/v1/ws";
export const B = "ws://b/v1/ws";

export interface Scene {
  clock: Clock;
  world: World;
  mesh: Mesh;
}

export async function scene(
  options: MeshOptions = {},
  urls: string | string[] = A,
): Promise<Scene> {
  const clock = new Clock();
  const world = new World();
  const mesh = connect(urls, { env: clock, transport: world.dial, ...options });
  await clock.settle();
  return { clock, world, mesh };
}

/** A subscription that notes what it gets. */
export function noting(
  mesh: Mesh,
  filter: string,
  options = {},
): { seen: unknown[]; gaps: Gap[]; off(): void } {
  const seen: unknown[] = [];
  const gaps: Gap[] = [];
  const sub = mesh.subscribe(filter, {
    onMessage: (message) => seen.push(message.json()),
    onGap: (gap) => gaps.push(gap),
    ...options,
  });
  return { seen, gaps, off: () => sub.off() };
}
