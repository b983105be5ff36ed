// Runs tests: bundles each file (Node 20 reads no TypeScript) and hands it to node's own runner.
// Arguments: folders, whose *.test.ts it runs, or files; and flags for node, such as
// --test-name-pattern=token.

import { spawnSync } from "node:child_process";
import { readdirSync, rmSync, statSync } from "node:fs";
import { build } from "esbuild";

const isFlag = (given) => given.startsWith("--");
const given = process.argv.slice(2);
const files = given.filter((name) => !isFlag(name)).flatMap((given) => {
  if (statSync(given).isFile()) return [given];
  const names = readdirSync(given).filter((name) => name.endsWith(".test.ts"));
  return names.map((name) => `${given}/${name}`);
});
const outdir = `.build/${process.pid}`;
process.on("exit", () => rmSync(outdir, { recursive: true, force: true }));
await build({
  entryPoints: files,
  bundle: true,
  format: "esm",
  platform: "node",
  packages: "external",
  sourcemap: "inline",
  outdir,
  outbase: ".",
  outExtension: { ".js": ".mjs" },
});
const built = files.map((name) => `${outdir}/${name.replace(/\.ts$/, ".mjs")}`);
const flags = ["--test", "--test-reporter=spec", "--enable-source-maps", ...given.filter(isFlag)];
const run = spawnSync(process.execPath, [...flags, ...built], { stdio: "inherit" });
process.exitCode = run.status ?? 1;
