/**
 * What happens to pages, against real edges in Chromium: each transport and codec, dying edges and
 * regions, networks that go away, pages that are frozen or slow. Everywhere the invariant holds:
 * received ∪ reported gaps = published.
 */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { type Development, develop } from "../edge/development.ts";
import { startBrowser, type TestBrowser, type TestPage } from "./browser.ts";
import { openLine } from "./line.ts";
import { DEADLINE_MS, Numbers, record, Regions, until, until_true } from "./steps.ts";

let mesh: Development;
let regions: Regions;
let browser: TestBrowser;
before(async () => {
  // The page's own policy is as strict as it can be in every one of these tests.
  [mesh, browser] = await Promise.all([develop(), startBrowser(["page"], STRICT)]);
  regions = await Regions.of(mesh);
});
after(async () => {
  await browser?.stop();
  await mesh?.stop();
});

/** Nothing but the page's own script and connections to edges; no `eval`, no inline script. */
const STRICT = {
  "content-security-policy":
    "default-src 'none'; script-src 'self'; worker-src 'self'; img-src data:; connect-src ws: http:; " +
    "base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'",
};

/** A test with a page and a publisher elsewhere, both gone at its end, and a quiet console. */
function claim(
  name: string,
  run: (tab: TestPage, numbers: Numbers, root: string) => Promise<void>,
  padding = 0,
): void {
  test(name, { timeout: 2 * DEADLINE_MS }, async () => {
    const root = `orders.${name.replace(/\W/g, "")}`;
    const tab = await browser.open("page");
    // `ap` never dies here.
    const numbers = new Numbers(mesh.regions[2]!.ws, root, padding);
    try {
      await run(tab, numbers, root);
      assert.deepEqual(tab.errors, [], "a quiet console");
    } finally {
      numbers.close();
      await tab.page.context().close();
    }
  });
}

const ws = (region: number): string => mesh.regions[region]!.ws;

/** A page that hears a wildcard loses nothing when its edge is killed. */
const survivesDeath = async ({ page }: TestPage, numbers: Numbers): Promise<void> => {
  await numbers.publish(50);
  await regions.signal("eu-1", "SIGKILL");
  await numbers.publish(50);
  assert.deepEqual(await numbers.assertWhole(page), []);
};

for (const codec of ["client.json", "pb"]) {
  claim(`WebSocket_${codec}_loses_nothing_when_the_edge_is_killed`, async (tab, numbers, root) => {
    const options = `{ codecs: [${codec}, client.json] }`;
    await tab.page.evaluate(record([ws(0), ws(1)], `${root}.*`, options));
    await survivesDeath(tab, numbers);
  });
}

claim("a_stream_where_WebSockets_are_blocked_loses_nothing_and_goes_back_to_them", async (tab, numbers, root) => {
  const { page } = tab;
  await page.evaluate(`
    isBlocked = true;
    opened = 0;
    Real = WebSocket;
    Blocked = class {
      constructor(...given) {
        if (!isBlocked) { opened++; return new Real(...given); }
        setTimeout(() => this.onclose({ code: 1006, reason: "" }));
      }
      close() {}
    };`);
  const options = "{ transport: fallback({ probeMs: 500 }), WebSocket: Blocked }";
  await page.evaluate(record([ws(0), ws(1)], `${root}.*`, options));
  await survivesDeath(tab, numbers);
  assert.equal(await page.evaluate("opened"), 0, "all of it without a WebSocket");
  await page.evaluate("isBlocked = false; states.length = 0; before = mesh.stats().connections; 0");
  await numbers.publishWhile(async () => !(await page.evaluate("mesh.stats().connections > before")));
  assert.ok(((await page.evaluate("opened")) as number) > 0);
  assert.deepEqual(await page.evaluate("states"), [], "moved without a break");
  assert.deepEqual(await numbers.assertWhole(page), []);
});

claim("an_EventSource_comes_back_by_itself_and_loses_nothing", async (tab, numbers, root) => {
  const url = `${mesh.regions[0]!.http}/v1/sse?f=${encodeURIComponent(`${root}.*`)}`;
  await tab.page.evaluate(`
    seen = []; gaps = []; lives = 0;
    known = new Set();
    source = new EventSource(${JSON.stringify(url)});
    source.onmessage = ({ data }) => {
      const { s, d, q } = JSON.parse(data).m;
      // Under a wildcard the last messages may come again: the sequence tells.
      if (!known.has(q)) seen.push([s, d.n, q]);
      known.add(q);
    };
    source.addEventListener("gap", ({ data }) => gaps.push(JSON.parse(data).gap));
    source.addEventListener("subscribe", () => lives++);
    0`);
  await until(tab.page, "lives === 1");
  await survivesDeath(tab, numbers);
  assert.equal(await tab.page.evaluate("lives > 1"), true);
});

claim("a_draining_edge_is_left_without_a_break", async ({ page }, numbers, root) => {
  await page.evaluate(record([ws(1), ws(0)], `${root}.*`));
  await page.evaluate("states.length = 0; before = mesh.stats().connections; 0");
  await numbers.publish(20);
  await regions.signal("us-1", "SIGTERM");
  await numbers.publishWhile(async () => !(await page.evaluate("mesh.stats().connections > before")));
  assert.deepEqual(await numbers.assertWhole(page), []);
  assert.deepEqual(await page.evaluate("states"), [], "never without a connection");
});

claim("a_page_whose_region_dies_resumes_in_another", async ({ page }, numbers, root) => {
  await page.evaluate(record([ws(1), ws(0)], `${root}.*`));
  await numbers.publish(20);
  await Promise.all([regions.kill("us"), numbers.publish(100)]);
  await until(page, `mesh.edge?.region === "eu"`);
  await numbers.publish(20);
  assert.deepEqual(await numbers.assertWhole(page), []);
  await regions.revive("us");
});

claim("each_attempt_has_a_token_that_holds", async (tab, numbers, root) => {
  const { page } = tab;
  const tokens: string[] = [];
  page.on("websocket", (socket) => {
    socket.on("framesent", ({ payload }) => {
      const connect = String(payload).split("\n").map((line) => JSON.parse(line).connect).find(Boolean);
      if (connect) tokens.push(connect.token);
    });
  });
  // The first ends within the ten seconds that a client wants to have left, the second does not.
  const options = `{
    getToken: ({ reason }) => {
      asked.push(reason);
      const left_ms = asked.length === 1 ? 5_000 : 3_600_000;
      return { token: "token-" + asked.length, expiresAt: Date.now() + left_ms };
    },
  }`;
  await page.evaluate("asked = []; 0");
  await page.evaluate(record([ws(0)], `${root}.*`, options));
  await survivesDeath(tab, numbers);
  await page.evaluate("before = mesh.stats().connections; 0");
  await regions.signal("eu-1", "SIGKILL");
  await until(page, "mesh.stats().connections > before");
  assert.deepEqual(await numbers.assertWhole(page), []);
  assert.deepEqual(await page.evaluate("asked"), ["start", "expiry"]);
  assert.deepEqual([...new Set(tokens)], ["token-1", "token-2"]);
});

claim("a_network_that_went_away_costs_nothing_when_it_is_back", async ({ page }, numbers, root) => {
  const line = await openLine(ws(0));
  try {
    // Of what the edge tells, nothing is behind the line.
    const options = "{ transport: (url, ...rest) => client.webSocket(theOnly, ...rest) }";
    await page.evaluate(`theOnly = ${JSON.stringify(line.ws)}; 0`);
    await page.evaluate(record([line.ws], `${root}.*`, options));
    await numbers.publish(20);
    await page.context().setOffline(true);
    line.cut();
    await numbers.publish(50);
    line.heal();
    await page.context().setOffline(false);
    await numbers.publish(20);
    assert.deepEqual(await numbers.assertWhole(page), []);
    assert.equal(await page.evaluate("mesh.stats().connections > 1"), true);
  } finally {
    line.stop();
  }
});

claim("a_page_from_the_back_forward_cache_goes_on_where_it_was", async ({ page }, numbers, root) => {
  await page.evaluate(record([ws(0), ws(1)], `${root}.*`));
  await page.evaluate(`
    persisted = false;
    addEventListener("pageshow", (event) => (persisted = event.persisted));
    0`);
  await numbers.publish(20);
  await until(page, "seen.length === 20");
  await page.goto(`${new URL(page.url()).origin}/page?elsewhere`);
  await numbers.publish(50);
  await page.goBack();
  await until(page, "globalThis.persisted");
  await numbers.publish(20);
  assert.deepEqual(await numbers.assertWhole(page), []);
});

claim("a_frozen_page_goes_on_where_it_was", async ({ page }, numbers, root) => {
  await page.evaluate(record([ws(0), ws(1)], `${root}.*`));
  await numbers.publish(20);
  await until(page, "seen.length === 20");
  const session = await page.context().newCDPSession(page);
  await session.send("Page.setWebLifecycleState", { state: "frozen" });
  await numbers.publish(50);
  await session.send("Page.setWebLifecycleState", { state: "active" });
  await numbers.publish(20);
  assert.deepEqual(await numbers.assertWhole(page), []);
});

claim("a_slow_iterator_pauses_the_stream_and_loses_nothing", async ({ page }, numbers, root) => {
  await page.evaluate(`
    seen = []; gaps = []; paused = 0;
    mesh = client.connect(${JSON.stringify([ws(0), ws(1)])});
    sub = mesh.subscribe("${root}.*", {
      highWater: 8,
      onGap: (gap) => gaps.push(gap),
      onState: (state) => (paused += state === "paused"),
    });
    (async () => {
      for await (const message of sub) {
        seen.push([message.subject, message.json().n, message.seq]);
        await new Promise((later) => setTimeout(later, 5));
      }
    })();
    sub.ready()`);
  await numbers.publish(200);
  assert.deepEqual(await numbers.assertWhole(page), []);
  assert.equal(await page.evaluate("paused > 0"), true);
});

claim(
  "a_page_that_does_not_read_for_a_while_is_cut_off_and_loses_nothing",
  async ({ page }, numbers, root) => {
    await page.evaluate(record([ws(0), ws(1)], `${root}.*`));
    const end_ms = Date.now() + 5_000;
    await page.evaluate(`setTimeout(() => { while (Date.now() < ${end_ms}); }); 0`);
    await numbers.publish(400);
    await until_true("the page reads again", () => Date.now() > end_ms);
    assert.deepEqual(await numbers.assertWhole(page), []);
  },
  // More in all than the queues between the edge and the page hold.
  30_000,
);
