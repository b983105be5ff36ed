/**
 * The demo page in Chromium, as `meridian dev` serves it: by keyboard alone, at a phone's width, in
 * light and dark, with the commands that it shows, and while its regions are killed. No error on
 * the console is forgiven here, not even those that the browser writes by itself.
 */

import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { after, before, test } from "node:test";
import type { BrowserContextOptions, Page } from "playwright-core";
import { type Development, develop } from "../edge/development.ts";
import { startBrowser, type TestBrowser } from "./browser.ts";
import { type Contrasts, lowContrast } from "./contrast.ts";
import { runLine, Terminal } from "./terminal.ts";
import { DEADLINE_MS, Regions, until } from "./steps.ts";

const SCREENS = "../../target/screens";
/** High enough for the map and the sum below it: the README shows such a picture. */
const WIDE = { width: 1100, height: 1050 };
/** The narrowest phones in use. */
const PHONE = { width: 360, height: 780 };
/** What text of ordinary size must have: WCAG 2.2, 1.4.3. */
const CONTRAST_MIN = 4.5;
/** More controls than the page has. */
const TABS_MAX = 60;
/** The round trip that is added, so that the map has distances to show. */
const RTT_MS = 40;

let mesh: Development;
let regions: Regions;
let browser: TestBrowser;
let terminal: Terminal;
before(async () => {
  [mesh, browser] = await Promise.all([develop(["--rtt-ms", String(RTT_MS)]), startBrowser([])]);
  regions = await Regions.of(mesh);
  terminal = new Terminal();
  mkdirSync(SCREENS, { recursive: true });
});
after(async () => {
  terminal?.stop();
  await browser?.stop();
  await mesh?.stop();
});

/** A test with the page open and live; at its end nothing may stand on the console. */
function claim(
  name: string,
  run: (page: Page) => Promise<void>,
  options: BrowserContextOptions = { viewport: WIDE },
): void {
  test(name, { timeout: 4 * DEADLINE_MS }, async () => {
    await regions.allReady();
    const context = await browser.browser.newContext(options);
    const page = await context.newPage();
    const errors: string[] = [];
    page.on("pageerror", (error) => errors.push(String(error)));
    page.on("console", (said) => said.type() === "error" && errors.push(said.text()));
    try {
      await page.goto(mesh.regions[0]!.http);
      await until(page, "Number(document.querySelector('#received-count').textContent) > 5");
      await run(page);
      assert.deepEqual(errors, [], "no error on the console");
    } catch (error) {
      // What the page says of itself explains most.
      const said = ["connection", "said", "proof"].map(textOf).join(` + " · " + `);
      if (error instanceof Error) error.message += `\n${await page.evaluate(said)}`;
      throw error;
    } finally {
      await context.close();
    }
  });
}

const textOf = (id: string): string => `document.querySelector("#${id}").textContent`;
const log = (text: string): string => `${textOf("log")}.includes(${JSON.stringify(text)})`;

/** Presses Tab until an element has the focus, which must show. */
async function tabTo(page: Page, selector: string): Promise<void> {
  for (let left = TABS_MAX; left--;) {
    await page.keyboard.press("Tab");
    if (!(await page.evaluate(`document.activeElement.matches(${JSON.stringify(selector)})`)))
      continue;
    const style = await page.evaluate(`getComputedStyle(document.activeElement).outlineStyle`);
    assert.notEqual(style, "none", `${selector} shows that it has the focus`);
    return;
  }
  throw new Error(`${selector} is not reached by Tab`);
}

/** Types into a field that has the focus, instead of what it holds. */
async function retype(page: Page, text: string): Promise<void> {
  await page.keyboard.press("ControlOrMeta+a");
  await page.keyboard.type(text);
}

claim("everything_can_be_done_by_keyboard_alone", async (page) => {
  await tabTo(page, "[aria-label='Connect here: us']");
  await page.keyboard.press("Enter");
  await until(page, `${textOf("connection")}.endsWith("in us")`);
  await tabTo(page, "#filter");
  await retype(page, "demo.key.*");
  await until(page, `${textOf("curl-line")}.includes("demo.key.")`);
  await tabTo(page, "#subject");
  await retype(page, "demo.key.board");
  await tabTo(page, "#payload");
  await retype(page, `{"typed":true}`);
  await page.keyboard.press("Enter");
  await until(page, log(`{"typed":true}`));
  assert.match(
    (await page.evaluate(textOf("published"))) as string,
    /^Taken by the NATS server of us/,
  );
  await tabTo(page, "[data-copies='curl-line']");
  await tabTo(page, "#clear");
  await page.keyboard.press("Space");
  await until(page, `${textOf("log")} === ""`);
  // What is wrong is said, and the last good filter stays in use.
  await page.keyboard.press("Home");
  await page.evaluate("document.activeElement.blur(); scrollTo(0, 0)");
  await page.locator("#filter").focus();
  await retype(page, "demo.>.b");
  await until(page, `${textOf("filter-problem")}.includes("last token")`);
});

/** Text that is drawn over a map of two greys, or is too small, would show here. */
for (const colorScheme of ["light", "dark"] as const) {
  for (const [shape, viewport] of [
    ["wide", WIDE],
    ["phone", PHONE],
  ] as const) {
    claim(
      `text_is_readable_and_nothing_scrolls_sideways_${shape}_${colorScheme}`,
      async (page) => {
        // So that every kind of text is there: a problem, a match, a message, an answer.
        await page.locator("#filter").fill("demo.*");
        await page.locator("#publish button").click();
        await until(page, log(`{"hi":1}`));
        await until(page, `${textOf("p50")} !== "–"`);
        const measure = (): Promise<unknown> => page.evaluate(lowContrast(CONTRAST_MIN));
        const found = (await measure()) as Contrasts;
        assert.ok(found.texts > 40, `${found.texts} texts were measured`);
        assert.deepEqual(found.low, []);
        // And it does see what is faint.
        await page.evaluate(`
          faint = document.querySelector("main").appendChild(document.createElement("p"));
          faint.textContent = "faint"; faint.style.color = "#777"; faint.style.background = "#888";
          0`);
        assert.equal(((await measure()) as Contrasts).low.length, 1);
        await page.evaluate("faint.remove()");
        const widths = "[document.scrollingElement.scrollWidth, innerWidth]";
        const [content, window] = (await page.evaluate(widths)) as [number, number];
        assert.ok(content <= window, `${content} px in a window of ${window}`);
        const path = `${SCREENS}/${shape}-${colorScheme}.png`;
        await page.screenshot({ path, fullPage: true });
      },
      { viewport, colorScheme },
    );
  }
}

claim("the_lines_that_the_page_shows_change_the_page", async (page) => {
  for (const [subject, payload] of [
    ["demo.line", `{"it's":1}`],
    ["orders.line.1", "plain $text"],
  ]) {
    await page.locator("#filter").fill(`${subject!.split(".")[0]}.line.>`);
    await page.locator("#filter").fill(subject!);
    await page.locator("#subject").fill(subject!);
    await until(
      page,
      `${textOf("curl-line")}.includes(${JSON.stringify(encodeURIComponent(subject!))})`,
    );
    const listening = terminal.listen((await page.evaluate(textOf("curl-line"))) as string);
    await listening.until(/event: subscribe/);
    for (const line of ["nats-line", "meridian-line"]) {
      const marked = `${payload} ${line}`;
      await page.locator("#payload").fill(marked);
      await runLine(terminal, (await page.evaluate(textOf(line))) as string);
      await until(page, log(marked));
      await listening.until(new RegExp(`${line}`));
    }
    listening.stop();
  }
});

/**
 * A region is killed by the page's own button while the page is connected there. Home comes first:
 * a mirror that was started again hears of home only after 40 s or so, and would be behind without.
 */
for (const name of ["eu", "us"]) {
  claim(`a_page_whose_region_is_killed_misses_nothing_and_says_so_${name}`, async (page) => {
    await page.locator(`[aria-label="Connect here: ${name}"]`).click();
    await until(page, `${textOf("connection")}.endsWith("in ${name}")`);
    await page.locator(`[aria-label="Kill region ${name}"]`).focus();
    await page.keyboard.press("Enter");
    await until(page, `${textOf("said")}.startsWith("${name} is killed")`);
    await until(page, `/failover \\d+ ms/.test(${textOf("failover")})`);
    await until(page, `!/in ${name}$|Looking/.test(${textOf("connection")})`);
    const status = `document.querySelector("[data-region=${name}] .status").textContent`;
    assert.equal(await page.evaluate(status), "killed");
    await page.evaluate("scrollTo(0, 0)");
    await page.screenshot({ path: `${SCREENS}/killed-${name}.png` });
    await page.locator(`[aria-label="Revive region ${name}"]`).focus();
    await page.keyboard.press("Enter");
    await until(page, `!/not reachable|killed/.test(${status})`);
    // The stream takes orders again, all of them come, and the sum is right.
    const received = await page.evaluate(`Number(${textOf("received-count")})`);
    await until(page, `Number(${textOf("received-count")}) > ${received} + 20`);
    const sum = /missed 0\s+replayed \d+\s+failover \d+ ms/;
    await until(page, `${sum}.test(${textOf("proof")})`);
  });
}
