// Runs tests: bundles each file (Node 20 reads no TypeScript) and hands it to node's own runner.
// Arguments: the files, by default test/*.test.ts.

import { spawnSync } from "node:child_process";
import { readdirSync, rmSync } from "node:fs";
import { build } from "esbuild";

const given = process.argv.slice(2);
const files = given.length
  ? given
  : readdirSync("test")
      .filter((name) => /\.test\.tsx?$/.test(name))
      .map((name) => `test/${name}`);
rmSync(".build", { recursive: true, force: true });
await build({
  entryPoints: files,
  bundle: true,
  format: "esm",
  platform: "node",
  packages: "external",
  sourcemap: "inline",
  outdir: ".build",
  outbase: ".",
  outExtension: { ".js": ".mjs" },
});
const built = files.map((name) => `.build/${name.replace(/\.tsx?$/, ".mjs")}`);
const run = spawnSync(process.execPath, ["--test", "--enable-source-maps", ...built], { stdio: "inherit" });
process.exitCode = run.status ?? 1;
