/** A development mesh for tests: `meridian dev` as a child process, on ports of its own. */

import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { createInterface } from "node:readline";

/** The machine may be busy: a mesh of three regions elects a leader first. */
const START_MS_MAX = 120_000;
/** Ports that each region takes, from its first. */
const PORTS = 100;

export interface Edge {
  id: string;
  ws: string;
  http: string;
  admin: string;
  pid: number;
}

export interface Region {
  name: string;
  ws: string;
  http: string;
  nats: string;
  nats_pid: number;
  edges: Edge[];
}

export interface Development {
  regions: Region[];
  /** Where each region keeps its files: `<state>/<region>/<edge>.toml`. */
  state: string;
  stop(): Promise<void>;
}

/** The program, as `cargo build` leaves it. */
export const BINARY =
  process.env["MERIDIAN"] ?? `${process.env["CARGO_TARGET_DIR"] ?? "../../target"}/debug/meridian`;

/** `settings` are keys of an edge's configuration, as the environment spells them. */
export async function develop(
  args: string[] = [],
  settings: Record<string, string> = {},
): Promise<Development> {
  const env = { ...process.env, ...settings };
  const state = mkdtempSync(`${tmpdir()}/meridian-`);
  for (let attempt = 0; attempt < 3; attempt++) {
    const port = await freePorts(3);
    const child = spawn(
      BINARY,
      ["dev", "--json", "--state-dir", state, "--base-port", String(port), ...args],
      { stdio: ["ignore", "pipe", "pipe"], env },
    );
    const told: string[] = [];
    createInterface(child.stderr).on("line", (line) => told.push(line));
    const line = await firstLine(child);
    const stop = async (): Promise<void> => {
      await stopped(child);
      rmSync(state, { recursive: true, force: true });
    };
    if (line) return { regions: JSON.parse(line).regions, state, stop };
    await stop();
    console.error(told.join("\n"));
  }
  throw new Error(`${BINARY} dev does not start: build it with cargo build -p meridian-cli`);
}

function firstLine(child: ChildProcess): Promise<string | undefined> {
  return new Promise((done) => {
    const deadline = setTimeout(() => done(undefined), START_MS_MAX);
    const lines = createInterface(child.stdout!);
    lines.on("line", (line) => (clearTimeout(deadline), done(line)));
    child.on("error", () => (clearTimeout(deadline), done(undefined)));
    child.on("exit", () => (clearTimeout(deadline), done(undefined)));
  });
}

function stopped(child: ChildProcess): Promise<void> {
  return new Promise((done) => {
    if (child.exitCode !== null || child.pid === undefined) return done();
    child.on("exit", () => done());
    child.kill("SIGINT");
  });
}

/** The first of some hundreds of ports that nobody uses at this moment. */
async function freePorts(regions: number): Promise<number> {
  for (;;) {
    const first = 20_000 + PORTS * Math.floor(Math.random() * 100);
    const wanted = Array.from(
      { length: regions * 20 },
      (_, at) => first + PORTS * Math.floor(at / 20) + (at % 20),
    );
    const free = await Promise.all(wanted.map(isFree));
    if (free.every(Boolean)) return first;
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((done) => {
    const server = createServer();
    server.on("error", () => done(false));
    server.listen(port, "127.0.0.1", () => server.close(() => done(true)));
  });
}
