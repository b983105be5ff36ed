/**
 * A page that can be frozen, in a Chromium of its own: the driver of the other tests tells each
 * page that it has the focus, and such a page is never frozen. Speaks the DevTools protocol itself.
 */

import { spawn } from "node:child_process";
import { mkdtempSync } from "node:fs";
import { rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { createInterface } from "node:readline";
import { WebSocket } from "ws";
import { CHROMIUM } from "./browser.ts";
import { DEADLINE_MS, type Evaluating, until_true } from "./steps.ts";

export interface Freezable extends Evaluating {
  /** What operating systems and browsers do to pages that nobody looks at. */
  setState(state: "frozen" | "active"): Promise<void>;
  stop(): Promise<void>;
}

interface Answer {
  id: number;
  result?: { result?: { value?: unknown }; exceptionDetails?: { text: string } };
  error?: { message: string };
}

export async function openFreezable(url: string): Promise<Freezable> {
  const profile = mkdtempSync(`${tmpdir()}/meridian-`);
  const flags = ["--headless=new", "--no-sandbox", "--no-first-run", "--remote-debugging-port=0"];
  const child = spawn(CHROMIUM, [...flags, `--user-data-dir=${profile}`, url], {
    stdio: ["ignore", "ignore", "pipe"],
  });
  const gone = new Promise<void>((done) => child.once("exit", () => done()));
  const stop = async (): Promise<void> => {
    child.kill();
    await gone;
    // Its children may write for a moment longer; what they leave is no finding of a test.
    await rm(profile, { recursive: true, force: true, maxRetries: 5 }).catch(() => {});
  };
  try {
    const socket = new WebSocket(await pageOf(child.stderr!, url));
    await new Promise((done, failed) => socket.once("open", done).once("error", failed));
    const waiting = new Map<number, (answer: Answer) => void>();
    socket.on("message", (data) => {
      const answer = JSON.parse(String(data)) as Answer;
      waiting.get(answer.id)?.(answer);
      waiting.delete(answer.id);
    });
    let last = 0;
    const ask = async (method: string, params: object): Promise<Answer["result"]> => {
      const id = ++last;
      const answered = new Promise<Answer>((done) => waiting.set(id, done));
      socket.send(JSON.stringify({ id, method, params }));
      const { result, error } = await answered;
      const wrong = error?.message ?? result?.exceptionDetails?.text;
      if (wrong) throw new Error(`${method}: ${wrong}`);
      return result;
    };
    return {
      async evaluate(expression) {
        const params = { expression, returnByValue: true, awaitPromise: true };
        return (await ask("Runtime.evaluate", params))?.result?.value;
      },
      async setState(state) {
        await ask("Page.setWebLifecycleState", { state });
      },
      async stop() {
        socket.close();
        await stop();
      },
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** Where a page's DevTools listen, once the browser has said where its own are. */
async function pageOf(stderr: NodeJS.ReadableStream, url: string): Promise<string> {
  let browser: string | undefined;
  createInterface(stderr).on("line", (line) => {
    browser ??= /DevTools listening on ws:\/\/([^/]+)/.exec(line)?.[1];
  });
  let page: string | undefined;
  await until_true("Chromium has the page", async () => {
    if (!browser) return false;
    const signal = AbortSignal.timeout(DEADLINE_MS);
    const targets = await (await fetch(`http://${browser}/json/list`, { signal })).json();
    const isIt = (target: { type: string; url: string }): boolean =>
      target.type === "page" && target.url === url;
    page = targets.find(isIt)?.webSocketDebuggerUrl;
    return page !== undefined;
  });
  return page!;
}
