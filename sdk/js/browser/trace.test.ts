/** The waterfall on the demo page, in Chromium against real edges. */

import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { after, before, test } from "node:test";
import { type Development, develop } from "../edge/development.ts";
import { startBrowser, type TestBrowser } from "./browser.ts";

/** For a machine that does much else. */
const DEADLINE_MS = 60_000;
const SCREENS = "../../target/screens";

let mesh: Development;
let browser: TestBrowser;
before(async () => {
  [mesh, browser] = await Promise.all([develop(), startBrowser([])]);
});
after(async () => {
  await browser?.stop();
  await mesh?.stop();
});

test(
  "the_page_draws_the_way_of_a_message_to_receipts_in_every_region",
  { timeout: 3 * DEADLINE_MS },
  async () => {
    const page = await browser.browser.newPage({ viewport: { width: 1100, height: 900 } });
    await page.goto(mesh.regions[0]!.http);
    await page.getByText("Connected to").waitFor({ timeout: DEADLINE_MS });
    const steps = (): Promise<string[]> => page.locator("#waterfall .step").allTextContents();
    const others = mesh.regions.slice(1).map(({ name }) => name);
    const from = mesh.regions[0]!.name;
    const wanted = ["edge publish", "fan-out", ...others.map((to) => `nats gateway ${from}→${to}`)];
    const deadline = Date.now() + DEADLINE_MS;
    let seen: string[] = [];
    const isWhole = (): boolean =>
      wanted.every((step) => seen.includes(step)) &&
      seen.filter((step) => step === "receipt").length === mesh.regions.length;
    // The probes' interest crosses the gateways a little after they are connected.
    while (!isWhole() && Date.now() < deadline) {
      await page.getByRole("button", { name: "Publish a traced message" }).click();
      const until = Date.now() + 5_000;
      do {
        seen = await steps();
        await page.waitForTimeout(100);
      } while (!isWhole() && Date.now() < until);
    }
    assert.ok(isWhole(), `not the whole way: ${seen.join(", ")}`);
    assert.match((await page.locator("#longest").textContent())!, /ms in all; the longest step: /);
    mkdirSync(SCREENS, { recursive: true });
    await page.locator("#trace-section").screenshot({ path: `${SCREENS}/waterfall.png` });
    await page.close();
  },
);
