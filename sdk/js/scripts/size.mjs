// Size budgets: what an application pays, bundled by esbuild, minified, gzip -9. Fails when over.

import { readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";

/** [what, entry points, bytes at most] */
const BUDGETS = [
  ["core", ["index"], 6144],
  ["core, pb", ["index", "pb"], 8192],
  ["core, fallback", ["index", "fallback"], 7680],
  ["core, tabs", ["index", "tabs"], 7680],
  ["core, trace", ["index", "trace"], 6656],
  ["core, react", ["index", "react"], 7168],
  ["everything", ["index", "pb", "fallback", "tabs", "react", "trace"], 12_288],
];
/** The SharedWorker's script, which holds a core of its own. */
const WORKER_BYTES_MAX = 12_288;

const check = (what, min, bytes_max) => {
  const bytes = gzipSync(min, { level: 9 }).length;
  const isOver = bytes > bytes_max;
  console.log(`${what}: ${bytes} of ${bytes_max} bytes${isOver ? ": OVER BUDGET" : ""}`);
  if (isOver) process.exitCode = 1;
};

for (const [what, entries, bytes_max] of BUDGETS) {
  const { outputFiles } = await build({
    stdin: {
      contents: entries.map((entry) => `export * from "./dist/${entry}.js";`).join("\n"),
      resolveDir: process.cwd(),
    },
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2020",
    external: ["react"],
    write: false,
  });
  check(what, outputFiles[0].contents, bytes_max);
}
check("worker, by itself", readFileSync("dist/worker.js"), WORKER_BYTES_MAX);
