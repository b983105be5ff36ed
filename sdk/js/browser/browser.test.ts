/** The client in Chromium against real edges. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Page } from "playwright-core";
import { type Development, develop } from "../edge/development.ts";
import { startBrowser, type TestBrowser } from "./browser.ts";
import { DEADLINE_MS, until } from "./steps.ts";

let mesh: Development;
let browser: TestBrowser;
before(async () => {
  [mesh, browser] = await Promise.all([develop(), startBrowser(["page", "strict"])]);
});
after(async () => {
  await browser?.stop();
  await mesh?.stop();
});

/** Connects a page to edges, and subscribes to a filter; what came is in `seen` and `gaps`. */
const begin = (page: Page, urls: string[], filter: string, options: string): Promise<unknown> =>
  page.evaluate(
    `mesh = client.connect(${JSON.stringify(urls)}, ${options});
     seen = []; gaps = [];
     mesh.subscribe(${JSON.stringify(filter)}, {
       onMessage: (message) => seen.push([message.subject, message.json()]),
       onGap: (gap) => gaps.push(gap),
     }).ready()`,
  );

/** How a page connects. In the last, no WebSocket ever opens, as behind a proxy. */
const WAYS = {
  json: "{}",
  pb: "{ codecs: [pb, client.json] }",
  stream: `{
    transport: fallback(),
    WebSocket: class extends WebSocket { constructor() { super("ws://127.0.0.1:1/"); } },
  }`,
};

for (const [name, way] of Object.entries(WAYS)) {
  test(`a_page_hears_a_wildcard_and_publishes, ${name}`, { timeout: 3 * DEADLINE_MS }, async () => {
    const { page, errors } = await browser.open("page");
    await begin(page, [mesh.regions[0]!.ws], "demo.>", way);
    const answer = await page.evaluate(`mesh.publish("demo.browser.a", { hi: 1 })`);
    assert.deepEqual(answer, { ack: "edge" });
    await until(page, "seen.length === 1");
    assert.deepEqual(await page.evaluate("seen"), [["demo.browser.a", { hi: 1 }]]);
    assert.deepEqual(errors, []);
    await page.close();
  });
}

test(
  "a_page_whose_edge_is_killed_goes_on_in_another_region_and_misses_nothing",
  { timeout: 3 * DEADLINE_MS },
  async () => {
    const { page, errors } = await browser.open("page");
    const [eu, us, ap] = mesh.regions;
    await begin(page, [eu!.ws, us!.ws], "orders.browser.*", "{}");
    const publisher = await browser.open("page");
    await publisher.page.evaluate(
      `mesh = client.connect(${JSON.stringify(ap!.ws)});
     publish = async (from, upto) => {
       for (let n = from; n < upto; n++) {
         const options = { ack: "stream", timeout: ${DEADLINE_MS} };
         await mesh.publish("orders.browser." + n % 3, n, options);
       }
     }; 0`,
    );
    await publisher.page.evaluate("publish(0, 50)");
    process.kill(eu!.edges[0]!.pid, "SIGKILL");
    await publisher.page.evaluate("publish(50, 200)");
    await until(page, "seen.length >= 200");
    const seen = (await page.evaluate("seen.map(([, n]) => n).sort((a, b) => a - b)")) as number[];
    assert.deepEqual(
      seen,
      Array.from({ length: 200 }, (_, n) => n),
    );
    assert.deepEqual(await page.evaluate("gaps"), []);
    assert.ok(((await page.evaluate("mesh.stats().connections")) as number) > 1);
    assert.deepEqual(errors, []);
    await Promise.all([page.close(), publisher.page.close()]);
  },
);

test(
  "two_tabs_share_one_connection_and_survive_the_loss_of_the_edge_and_of_each_other",
  { timeout: 3 * DEADLINE_MS },
  async () => {
    const [, us, ap] = mesh.regions;
    const filter = "orders.shared.*";
    const first = await browser.open("page");
    const second = await browser.open("page", "", first.page);
    const tabs = [first, second];
    for (const { page } of tabs) {
      await page.evaluate(
        `mesh = connectShared(${JSON.stringify([us!.ws, ap!.ws])}, worker);
       seen = []; gaps = []; states = [];
       mesh.on("state", (state) => states.push(state));
       mesh.subscribe("${filter}", {
         onMessage: (message) => seen.push(message.json()),
         onGap: (gap) => gaps.push(gap),
       }).ready()`,
      );
    }
    const cids = await Promise.all(tabs.map(({ page }) => page.evaluate("mesh.edge.cid")));
    assert.equal(cids[0], cids[1], "one connection");
    await first.page.evaluate(
      `publish = async (from, upto) => {
       for (let n = from; n < upto; n++) {
         const options = { ack: "stream", timeout: ${DEADLINE_MS} };
         await mesh.publish("orders.shared." + n % 3, n, options);
       }
     }; publish(0, 30)`,
    );
    process.kill(us!.edges[0]!.pid, "SIGKILL");
    for (const { page } of tabs)
      await until(page, `states.includes("waiting") && mesh.state === "open"`);
    await first.page.evaluate("publish(30, 60)");
    for (const { page } of tabs) await until(page, "seen.length === 60");
    await first.page.close();
    await second.page.evaluate(`mesh.publish("orders.shared.0", 60, { ack: "stream" })`);
    await until(second.page, "seen.length === 61");
    const seen = (await second.page.evaluate("seen.sort((a, b) => a - b)")) as number[];
    assert.deepEqual(
      seen,
      Array.from({ length: 61 }, (_, n) => n),
    );
    assert.deepEqual(await second.page.evaluate("gaps"), []);
    assert.deepEqual([first.errors, second.errors], [[], []]);
    await second.page.close();
  },
);

test("strict_mode_mounts_twice_and_subscribes_once", { timeout: 3 * DEADLINE_MS }, async () => {
  const edge = mesh.regions[2]!.ws;
  const { page, errors } = await browser.open("strict", `?edge=${encodeURIComponent(edge)}`);
  const view = `document.querySelector("#view")?.textContent`;
  await until(page, `${view} === "open live none"`);
  await page.evaluate(`mesh.publish("demo.strict", 7)`);
  await until(page, `${view} === "open live 7"`);
  assert.equal(await page.evaluate("counted()"), 1);
  assert.equal(await page.evaluate("mesh.stats().subscriptions"), 1);
  await page.evaluate("unmount()");
  await until(page, "mesh.stats().subscriptions === 0");
  assert.deepEqual(errors, []);
  await page.close();
});
