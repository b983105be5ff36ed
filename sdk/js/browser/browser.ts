/** Chromium for tests, and a server for their pages. Any error on a page's console is kept. */

import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { build, type BuildResult } from "esbuild";
import { type Browser, chromium, type Page } from "playwright-core";

/** Debian's, or another one. */
export const CHROMIUM = process.env["CHROMIUM"] ?? "/usr/bin/chromium";

/** What Chromium says by itself when a server is gone. It cannot be kept from it. */
const NETWORK = /WebSocket connection to .* failed|net::ERR_|WebSocket is closed before/;

/** A page's policy: its own script and connections to edges; no `eval`, nothing inline. */
export const STRICT = {
  "content-security-policy": [
    "default-src 'none'; script-src 'self'; worker-src 'self'; connect-src ws: http:",
    // The icon of the test pages, which is empty.
    "img-src data:; base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'",
  ].join("; "),
};

export interface TestBrowser {
  browser: Browser;
  /** Where the pages are. */
  origin: string;
  /** A new page with the script of this name, such as `page`; beside another, if one is given. */
  open(script: string, query?: string, beside?: Page): Promise<TestPage>;
  stop(): Promise<void>;
}

export interface TestPage {
  page: Page;
  /** Errors on the console and exceptions that nobody caught, except for those of the network. */
  errors: string[];
}

/** Serves `browser/<name>.ts` at `/<name>.js` and a page that loads it at `/<name>`. */
export async function startBrowser(
  scripts: string[],
  headers: Record<string, string> = {},
): Promise<TestBrowser> {
  const bundle = (
    entryPoints: string[],
    format: "esm" | "iife",
  ): Promise<BuildResult<{ write: false }>> =>
    build({
      entryPoints,
      bundle: true,
      format,
      target: "es2020",
      outdir: "/",
      write: false,
      define: { "process.env.NODE_ENV": '"development"' },
    });
  const pages = await bundle(
    scripts.map((name) => `browser/${name}.ts`),
    "esm",
  );
  const worker = await bundle(["src/worker.ts"], "iife");
  const outputs = [...pages.outputFiles, ...worker.outputFiles];
  const files = new Map(outputs.map(({ path, text }) => [path, text]));
  const server: Server = createServer((request, response) => {
    const { pathname } = new URL(request.url!, "http://x");
    const file = files.get(pathname);
    const type = file === undefined ? "text/html" : "text/javascript";
    response.writeHead(200, { "content-type": `${type}; charset=utf-8`, ...headers });
    const script = `<script type="module" src="${pathname}.js"></script>`;
    const html = `<!doctype html><link rel="icon" href="data:,"><body>${script}`;
    response.end(file ?? html);
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  // As root, which continuous integration is, Chromium has no sandbox.
  const browser = await chromium.launch({
    executablePath: CHROMIUM,
    args: ["--no-sandbox"],
    // Switched off by the driver, and the very thing that some tests are about.
    ignoreDefaultArgs: ["--disable-back-forward-cache"],
  });
  return {
    browser,
    origin,
    async open(script, query = "", beside) {
      const context = beside?.context() ?? (await browser.newContext());
      const page = await context.newPage();
      const errors: string[] = [];
      page.on("pageerror", (error) => errors.push(String(error)));
      page.on("console", (message) => {
        if (message.type() === "error" && !NETWORK.test(message.text()))
          errors.push(message.text());
      });
      await page.goto(`${origin}/${script}${query}`);
      return { page, errors };
    },
    async stop() {
      await browser.close();
      server.closeAllConnections();
      server.close();
    },
  };
}
