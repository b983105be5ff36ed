// Builds dist/: one module an entry point, shared code in chunks, private names shortened. The
// worker is one file by itself, since a page must serve it from its own origin. Types: tsc.

import { existsSync, rmSync } from "node:fs";
import { build } from "esbuild";

const ENTRIES = ["index", "pb", "fallback", "shared", "react"];

rmSync("dist", { recursive: true, force: true });
const options = {
  bundle: true,
  format: "esm",
  target: "es2020",
  outdir: "dist",
  // Only names that begin with an underscore, which no application sees.
  mangleProps: /^_/,
  mangleQuoted: false,
  external: ["react"],
};
const exists = (name) => existsSync(`src/${name}.ts`);
const entryPoints = ENTRIES.filter(exists).map((name) => `src/${name}.ts`);
await build({ ...options, entryPoints, splitting: true, chunkNames: "chunk-[hash]" });
if (exists("worker")) {
  await build({ ...options, entryPoints: ["src/worker.ts"], format: "iife", minify: true });
}
