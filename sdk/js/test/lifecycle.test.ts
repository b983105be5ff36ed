/** What the page and the network do to a mesh, with the browser's events played by the test. */

import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { connect, type Mesh } from "../src/index.ts";
import { Clock } from "./clock.ts";
import { World } from "./model.ts";

const window = new EventTarget();
const document = Object.assign(new EventTarget(), { visibilityState: "visible" });
Object.assign(globalThis, {
  addEventListener: window.addEventListener.bind(window),
  removeEventListener: window.removeEventListener.bind(window),
  document,
});

let mesh: Mesh;
afterEach(() => mesh.close());

async function scene(): Promise<{ clock: Clock; world: World; seen: number[] }> {
  const clock = new Clock();
  const world = new World();
  mesh = connect("ws://a/v1/ws", { env: clock, transport: world.dial });
  const seen: number[] = [];
  mesh.subscribe<number>("orders.a", (message) => seen.push(message.json()));
  await clock.settle();
  return { clock, world, seen };
}

for (const [name, target] of [["online", window], ["visibilitychange", document]] as const) {
  test(`${name}_ends_the_wait`, async () => {
    const { clock, world } = await scene();
    world.live[0]!.drop(1006);
    assert.equal(mesh.state, "waiting");
    target.dispatchEvent(new Event(name));
    await clock.settle();
    assert.equal(mesh.state, "open");
  });
}

for (const name of ["online", "offline"]) {
  test(`${name}_asks_an_open_connection_for_a_sign_of_life`, async () => {
    const { clock, world, seen } = await scene();
    const [first] = world.connections;
    window.dispatchEvent(new Event(name));
    await clock.pass(20_000);
    assert.equal(first!.isUp, true, "it has answered");
    assert.deepEqual(first!.commands.at(-1), { unsubscribe: { i: 1 } });
    first!.isMute = true;
    window.dispatchEvent(new Event(name));
    world.publish("orders.a", 1);
    await clock.pass(20_000);
    assert.equal(first!.isUp, false, "it has not");
    assert.deepEqual([mesh.state, seen], ["open", [1]]);
  });
}

for (const [target, leaves, comes] of [
  [window, "pagehide", "pageshow"],
  [document, "freeze", "resume"],
] as const) {
  test(`${leaves}_closes_and_${comes}_resumes`, async () => {
    const { clock, world, seen } = await scene();
    target.dispatchEvent(new Event(leaves));
    assert.deepEqual([mesh.state, world.live.length], ["idle", 0]);
    document.visibilityState = "hidden";
    document.dispatchEvent(new Event("visibilitychange"));
    world.publish("orders.a", 1);
    await clock.pass(100_000);
    assert.deepEqual([mesh.state, world.connections.length], ["idle", 1]);
    document.visibilityState = "visible";
    target.dispatchEvent(new Event(comes));
    await clock.settle();
    assert.deepEqual([mesh.state, seen], ["open", [1]]);
  });
}

test("a_page_that_leaves_during_an_attempt_leaves_nothing_behind", async () => {
  const { clock, world } = await scene();
  world.live[0]!.drop(1006);
  window.dispatchEvent(new Event("online"));
  window.dispatchEvent(new Event("pagehide"));
  await clock.pass(100_000);
  assert.deepEqual([mesh.state, world.live.length], ["idle", 0]);
  window.dispatchEvent(new Event("pageshow"));
  await clock.settle();
  assert.equal(mesh.state, "open");
});

test("a_closed_mesh_hears_nothing_of_the_page", async () => {
  const { clock, world } = await scene();
  mesh.close();
  window.dispatchEvent(new Event("pageshow"));
  window.dispatchEvent(new Event("online"));
  await clock.pass(100_000);
  assert.deepEqual([mesh.state, world.connections.length], ["closed", 1]);
});
