// Builds dist/: one module an entry point, shared code in chunks, private names shortened. The
// worker is one classic script by itself, since a page must serve it from its own origin. The types
// are tsc's work.

import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { build } from "esbuild";

const ENTRIES = ["index", "pb", "fallback", "tabs", "react", "trace"];

rmSync("dist", { recursive: true, force: true });
const options = {
  bundle: true,
  target: "es2020",
  outdir: "dist",
  // Only names that begin with an underscore, which no application sees.
  mangleProps: /^_/,
  external: ["react"],
  // So that constants stand where they are used: an application cannot do that from a bundle.
  minifySyntax: true,
};
const entryPoints = ENTRIES.map((name) => `src/${name}.ts`);
await build({
  ...options,
  entryPoints,
  format: "esm",
  splitting: true,
  chunkNames: "chunk-[hash]",
});
await build({ ...options, entryPoints: ["src/worker.ts"], format: "iife", minify: true });

// Chunks have no effects: an import for their sake does nothing but make bundlers warn.
for (const name of readdirSync("dist")) {
  const text = readFileSync(`dist/${name}`, "utf8");
  writeFileSync(`dist/${name}`, text.replace(/^import "\.\/chunk-\w+\.js";\n/gm, ""));
}
