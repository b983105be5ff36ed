/** Tokens of a page in Chromium, against a real edge that asks for them: their end, and refusal. */

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { type Development, develop } from "../edge/development.ts";
import { sign, TokenEdge } from "../edge/tokens.ts";
import { startBrowser, STRICT, type TestBrowser } from "./browser.ts";
import { DEADLINE_MS, Numbers, record, until } from "./steps.ts";

const HOUR_S = 3_600;
/** A token that ends soon, and within the ten seconds that a client wants to have left. */
const SHORT_S = 6;

let mesh: Development;
let edge: TokenEdge;
let browser: TestBrowser;
before(async () => {
  [mesh, browser] = await Promise.all([develop(), startBrowser(["page"], STRICT)]);
  edge = await TokenEdge.start(mesh, [browser.origin]);
});
after(async () => {
  await browser?.stop();
  await edge?.kill();
  await mesh?.stop();
});

/** The source of connect's options: asks `mint` here, and notes why in `asked`. */
const OPTIONS = "{ getToken: ({ reason }) => { asked.push(reason); return mint(asked.length); } }";

test(
  "a_token_that_ends_is_replaced_and_nothing_is_lost",
  { timeout: 4 * DEADLINE_MS },
  async () => {
    const root = "orders.refreshed";
    const { page, errors } = await browser.open("page");
    const numbers = new Numbers(mesh.regions[2]!.ws, root);
    await page.exposeFunction("mint", (count: number) =>
      sign(root, count === 1 ? SHORT_S : HOUR_S),
    );
    await page.evaluate("asked = []; codes = []; 0");
    await record(page, [edge.ws], `${root}.*`, OPTIONS);
    await page.evaluate("mesh.on('state', () => codes.push(mesh.why.code)); 0");
    await numbers.publishUntil(() => page.evaluate("asked.length > 1 && mesh.state === 'open'"));
    assert.deepEqual(await numbers.assertWhole(page), []);
    assert.deepEqual(await page.evaluate("asked"), ["start", "expiry"]);
    assert.deepEqual(await page.evaluate("codes[0]"), 3002, "the edge ended it with its token");
    // A token that holds is used again.
    await page.evaluate("before = mesh.stats().connections; 0");
    await edge.kill();
    await numbers.publish(20);
    await edge.revive();
    await until(page, "mesh.stats().connections > before");
    assert.deepEqual(await numbers.assertWhole(page), []);
    assert.deepEqual(await page.evaluate("asked"), ["start", "expiry"]);
    assert.deepEqual(errors, []);
    numbers.close();
    await page.context().close();
  },
);

test("a_token_that_is_refused_is_asked_for_once_more", { timeout: 4 * DEADLINE_MS }, async () => {
  const root = "orders.refused";
  const { page, errors } = await browser.open("page");
  const numbers = new Numbers(mesh.regions[2]!.ws, root);
  const forged = sign(root, HOUR_S, "another secret of thirty-two bytes");
  await page.exposeFunction("mint", (count: number) => (count === 1 ? forged : sign(root, HOUR_S)));
  await page.evaluate("asked = []; 0");
  await record(page, [edge.ws], `${root}.*`, OPTIONS);
  await numbers.publish(20);
  assert.deepEqual(await numbers.assertWhole(page), []);
  assert.deepEqual(await page.evaluate("asked"), ["start", "refused"]);
  assert.equal(
    await page.evaluate("mesh.publish('orders.other', 1).catch(({ code }) => code)"),
    103,
  );
  // No better token comes: that is the end, and it says why.
  const ended = `new Promise((done) => client
    .connect(${JSON.stringify(edge.ws)}, { getToken: () => ${JSON.stringify(forged)} })
    .on("error", ({ code }) => done(code)))`;
  assert.equal(await page.evaluate(ended), 3500);
  assert.deepEqual(errors, []);
  numbers.close();
  await page.context().close();
});
