// Builds what the edge embeds and serves into crates/edge/src/page/built/, so that `cargo build`
// needs no Node: the demo page, and the client itself. With --check it only compares: the
// committed files must be what this makes.

import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { build } from "esbuild";

const TO = "../../crates/edge/src/page/built";
const made = new Map(
  ["index.html", "icon.svg"].map((name) => [name, readFileSync(`demo/${name}`)]),
);
const options = {
  bundle: true,
  minify: true,
  target: "es2020",
  // Only names that begin with an underscore, as for the client itself.
  mangleProps: /^_/,
  outdir: "/",
  write: false,
};
/** For pages that have no bundler: everything but the hooks, which need React, in one module. */
const client = {
  contents: ["index", "pb", "fallback", "tabs", "trace"]
    .map((name) => `export * from "./${name}.ts";`)
    .join("\n"),
  resolveDir: "src",
  sourcefile: "client.ts",
};
const builds = [
  { entryPoints: ["demo/demo.ts", "demo/demo.css"], format: "esm" },
  { stdin: client, outfile: "/client.js", outdir: undefined, format: "esm" },
  { entryPoints: ["src/worker.ts"], format: "iife" },
];
for (const one of builds) {
  const { outputFiles } = await build({ ...options, ...one });
  for (const { path, contents } of outputFiles) made.set(path.slice(1), Buffer.from(contents));
}

const isChecked = process.argv.includes("--check");
if (!isChecked) mkdirSync(TO, { recursive: true });
for (const [name, bytes] of made) {
  const path = `${TO}/${name}`;
  if (!isChecked) {
    writeFileSync(path, bytes);
  } else if (!existsSync(path) || !bytes.equals(readFileSync(path))) {
    console.error(
      `${path} is not what sdk/js/demo makes: run \`npm run demo\` in sdk/js and commit it`,
    );
    process.exitCode = 1;
  }
  console.log(`${name}: ${bytes.length} bytes`);
}
