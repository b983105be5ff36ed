/**
 * What happens to pages, against real edges in Chromium: each transport and codec, dying edges and
 * regions, networks that go away, pages that are frozen or slow. Everywhere the invariant holds:
 * received ∪ reported gaps = published. Tokens: `tokens.test.ts`.
 */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Page } from "playwright-core";
import { type Development, develop } from "../edge/development.ts";
import { startBrowser, STRICT, type TestBrowser, type TestPage } from "./browser.ts";
import { openFreezable } from "./freezable.ts";
import { openLine } from "./line.ts";
import { DEADLINE_MS, type Evaluating, Numbers, record, Regions, until } from "./steps.ts";

const [EU, US, AP] = [0, 1, 2];

/** One publisher brings more than any page reads: its budget is not what these tests are about. */
const FAST = { MERIDIAN__LIMITS__PUBLISH_BYTES_PER_SECOND: "16777216" };

let mesh: Development;
let regions: Regions;
let browser: TestBrowser;
before(async () => {
  // The page's own policy is as strict as it can be in every one of these tests.
  [mesh, browser] = await Promise.all([develop([], FAST), startBrowser(["page"], STRICT)]);
  regions = await Regions.of(mesh);
});
after(async () => {
  await browser?.stop();
  await mesh?.stop();
});

interface Stage extends TestPage {
  /** Publishes elsewhere what the page should hear. */
  numbers: Numbers;
  /** The filter that covers it. */
  filter: string;
}

/** A test with a page and a publisher, both gone at its end, and a quiet console. */
function claim(
  name: string,
  run: (stage: Stage) => Promise<void>,
  { padding = 0, publisher = AP } = {},
): void {
  test(name, { timeout: 4 * DEADLINE_MS }, async () => {
    await regions.allReady();
    const root = `orders.${name.replace(/\W/g, "")}`;
    const tab = await browser.open("page");
    const numbers = new Numbers(ws(publisher), root, padding);
    try {
      await run({ ...tab, numbers, filter: `${root}.*` });
      assert.deepEqual(tab.errors, [], "a quiet console");
    } finally {
      numbers.close();
      await tab.page.context().close();
    }
  });
}

const ws = (region: number): string => mesh.regions[region]!.ws;

/** How a page connects, by name. Over HTTP there is only JSON. */
const WAYS = {
  json: "{ codecs: [client.json] }",
  pb: "{ codecs: [pb] }",
  stream: "{ transport: fallback({ probeMs: 500 }), WebSocket: Blockable }",
};
type Way = keyof typeof WAYS;

/** Defines a WebSocket class that opens only while `isBlocked` is false, and counts in `opened`. */
const block = (page: Page): Promise<unknown> =>
  page.evaluate(`
    isBlocked = true;
    opened = 0;
    Blockable = class {
      constructor(...given) {
        if (!isBlocked) { opened++; return new WebSocket(...given); }
        setTimeout(() => this.onclose({ code: 1006, reason: "" }));
      }
      close() {}
    };
    0`);

async function begin({ page, filter }: Stage, way: Way, at: number[]): Promise<void> {
  await block(page);
  await record(page, at.map(ws), filter, WAYS[way]);
}

/** What a page that could lose its connection was left with. */
async function assertResumed(page: Evaluating, numbers: Numbers): Promise<void> {
  assert.deepEqual(await numbers.assertWhole(page), [], "nothing is missing, so no gap is told");
  assert.equal(await page.evaluate("mesh.stats().connections > before"), true, "it was elsewhere");
}

claim("the_policy_of_these_pages_is_in_force", async ({ page, errors }) => {
  const refusal = `(() => {
    const script = document.createElement("script");
    try { script.textContent = "1"; } catch (error) { return error.name; }
  })()`;
  assert.equal(await page.evaluate(refusal), "TypeError");
  await page.evaluate(`document.body.append(new Image()); document.images[0].src = "/x.png"; 0`);
  await until(page, "document.images[0].complete");
  assert.match(errors.splice(0).join("\n"), /Content Security Policy/);
});

for (const way of Object.keys(WAYS) as Way[]) {
  claim(`a_killed_edge_costs_nothing_${way}`, async (stage) => {
    const { page, numbers } = stage;
    await begin(stage, way, [EU, US]);
    await numbers.publish(50);
    await regions.signal("eu-1", "SIGKILL");
    await numbers.publish(50);
    await assertResumed(page, numbers);
    assert.equal(await page.evaluate("opened"), 0, "the stream did without a WebSocket");
  });

  claim(`a_draining_edge_is_left_without_a_break_${way}`, async (stage) => {
    const { page, numbers } = stage;
    await begin(stage, way, [EU, US]);
    await numbers.publish(20);
    await regions.signal("eu-1", "SIGTERM");
    await numbers.publishUntil(() => page.evaluate("mesh.stats().connections > before"));
    await assertResumed(page, numbers);
    assert.deepEqual(await page.evaluate("states"), [], "never without a connection");
  });
}

claim("a_stream_goes_back_to_WebSockets_without_a_break", async (stage) => {
  const { page, numbers } = stage;
  await begin(stage, "stream", [EU, US]);
  await numbers.publish(20);
  assert.equal(await page.evaluate("isBlocked = false; opened"), 0);
  await numbers.publishUntil(() => page.evaluate("mesh.stats().connections > before"));
  await assertResumed(page, numbers);
  // One to see whether it works, and one that stays.
  assert.equal(await page.evaluate("opened"), 2);
  assert.deepEqual(await page.evaluate("states"), [], "moved without a break");
});

claim(
  "an_EventSource_comes_back_by_itself_and_loses_nothing",
  async ({ page, numbers, filter }) => {
    const url = `${mesh.regions[EU]!.http}/v1/sse?f=${encodeURIComponent(filter)}`;
    await page.evaluate(`
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
    await until(page, "lives === 1");
    await numbers.publish(50);
    await regions.signal("eu-1", "SIGKILL");
    await numbers.publish(50);
    assert.deepEqual(await numbers.assertWhole(page), []);
    assert.equal(await page.evaluate("lives > 1"), true, "it was away");
  },
);

claim(
  "a_network_that_went_away_costs_nothing_when_it_is_back",
  async ({ page, numbers, filter }) => {
    const line = await openLine(ws(EU));
    try {
      // Of what the edge tells, nothing is behind the line.
      await page.evaluate(`theOnly = ${JSON.stringify(line.ws)}; 0`);
      const options = "{ transport: (url, ...rest) => client.webSocket(theOnly, ...rest) }";
      await record(page, [line.ws], filter, options);
      await numbers.publish(20);
      await page.context().setOffline(true);
      line.cut();
      await numbers.publish(50);
      assert.equal(await page.evaluate("navigator.onLine || seen.length > 20"), false);
      line.heal();
      await page.context().setOffline(false);
      await numbers.publish(20);
      await assertResumed(page, numbers);
    } finally {
      line.stop();
    }
  },
);

claim("a_page_from_the_back_forward_cache_goes_on_where_it_was", async (stage) => {
  const { page, numbers } = stage;
  await begin(stage, "json", [EU, US]);
  await page.evaluate(`
    persisted = false;
    addEventListener("pageshow", (event) => (persisted = event.persisted));
    0`);
  await numbers.publish(20);
  await until(page, "seen.length === 20");
  await page.goto(`${new URL(page.url()).origin}/page?elsewhere`);
  assert.equal(await page.evaluate("globalThis.persisted"), undefined, "another page");
  await numbers.publish(50);
  // The driver's own way back waits for a load that a kept page does not have.
  await page.evaluate("setTimeout(() => history.back()); 0");
  await until(page, "globalThis.persisted");
  await numbers.publish(20);
  await assertResumed(page, numbers);
});

claim("a_frozen_page_goes_on_where_it_was", async ({ numbers, filter }) => {
  const page = await openFreezable(`${browser.origin}/page`);
  try {
    await until(page, "!!globalThis.client");
    await record(page, [ws(EU), ws(US)], filter);
    await numbers.publish(20);
    await until(page, "seen.length === 20");
    await page.setState("frozen");
    await until(page, `mesh.state === "idle"`);
    await numbers.publish(50);
    assert.equal(await page.evaluate("seen.length"), 20, "it does not run");
    await page.setState("active");
    await numbers.publish(20);
    await assertResumed(page, numbers);
  } finally {
    await page.stop();
  }
});

claim("a_slow_iterator_pauses_the_stream_and_loses_nothing", async ({ page, numbers, filter }) => {
  await page.evaluate(`
    seen = []; gaps = []; paused = 0;
    mesh = client.connect(${JSON.stringify([ws(EU), ws(US)])});
    sub = mesh.subscribe(${JSON.stringify(filter)}, {
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
    0`);
  await until(page, `sub.state === "live"`);
  await numbers.publish(200);
  assert.deepEqual(await numbers.assertWhole(page), []);
  assert.equal(await page.evaluate("paused > 0"), true);
});

claim(
  "a_page_that_does_not_read_is_cut_off_and_loses_nothing",
  async (stage) => {
    const { page, numbers } = stage;
    await begin(stage, "json", [EU, US]);
    const session = await page.context().newCDPSession(page);
    await session.send("Debugger.enable");
    await session.send("Debugger.pause");
    await numbers.publish(220);
    await session.send("Debugger.disable");
    await assertResumed(page, numbers);
    assert.equal(await page.evaluate("states.length > 0"), true, "it was closed as slow");
  },
  // More in all than the queues between the edge and the page hold.
  { padding: 60_000 },
);

// Last, since a mirror that was started again hears of home only after 40 s or so.
for (const [way, at, name] of [
  ["json", US, "us"],
  ["pb", AP, "ap"],
] as const) {
  claim(
    `a_page_whose_region_dies_resumes_in_another_${way}`,
    async (stage) => {
      const { page, numbers } = stage;
      await begin(stage, way, [at, EU]);
      await numbers.publish(20);
      await Promise.all([regions.kill(name), numbers.publish(100)]);
      await until(page, `mesh.state === "open" && mesh.edge.region !== "${name}"`);
      await numbers.publish(20);
      await assertResumed(page, numbers);
      await regions.revive(name);
    },
    // Where the stream is at home: that region stays.
    { publisher: EU },
  );
}
