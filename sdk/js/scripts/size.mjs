// Size budgets: what an application pays, bundled by esbuild, minified, gzip -9. Fails when over.

import { gzipSync } from "node:zlib";
import { build } from "esbuild";

/** [what, entry points, bytes at most] */
const BUDGETS = [
  ["core", ["index"], 6144],
  ["everything", ["index", "pb", "fallback", "shared", "react"], 12288],
];

let isOver = false;
const from = process.argv[2] ?? "dist";
for (const [what, entries, bytes_max] of BUDGETS) {
  const lines = entries.map((entry) => `export * from "./${from}/${entry}.js";`);
  const { outputFiles } = await build({
    stdin: { contents: lines.join("\n"), resolveDir: process.cwd() },
    bundle: true,
    minify: true,
    format: "esm",
    target: "es2020",
    external: ["react"],
    write: false,
  });
  const bytes = gzipSync(outputFiles[0].contents, { level: 9 }).length;
  const verdict = bytes <= bytes_max ? "ok" : "OVER BUDGET";
  console.log(`${what}: ${bytes} of ${bytes_max} bytes (min ${outputFiles[0].contents.length}) ${verdict}`);
  isOver ||= bytes > bytes_max;
}
process.exitCode = isOver ? 1 : 0;
