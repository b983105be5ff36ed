/**
 * A shell for the lines that the demo page shows, which are run as they stand. `meridian` is the
 * program under test. The `nats` command is not to be had everywhere, so a stand-in takes its
 * arguments and speaks NATS to the real server: what is tested is the line, not the command.
 */

import assert from "node:assert/strict";
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { promisify } from "node:util";
import { BINARY } from "../edge/development.ts";
import { DEADLINE_MS, until_true } from "./steps.ts";

/** Understands `nats --server URL pub SUBJECT PAYLOAD` and nothing else. */
const NATS = `#!${process.execPath}
const [option, server, command, subject, payload, ...rest] = process.argv.slice(2);
if (option !== "--server" || command !== "pub" || payload === undefined || rest.length) {
  throw new Error("not understood: " + process.argv.slice(2).join(" "));
}
const { hostname, port, username: user, password: pass } = new URL(server);
const socket = require("node:net").connect(Number(port), hostname);
const connect = JSON.stringify({ user, pass, verbose: false, pedantic: true });
const bytes = Buffer.byteLength(payload);
socket.write("CONNECT " + connect + "\\r\\nPUB " + subject + " " + bytes + "\\r\\n" + payload);
socket.write("\\r\\nPING\\r\\n");
socket.on("data", (data) => {
  const text = String(data);
  if (text.includes("-ERR")) throw new Error(text);
  if (text.includes("PONG")) socket.end();
});
`;

/** What a command that goes on has printed. */
export interface Listening {
  until(what: RegExp): Promise<void>;
  stop(): void;
}

export class Terminal {
  private readonly folder = mkdtempSync(`${tmpdir()}/meridian-`);
  private readonly running = new Set<ChildProcess>();
  readonly env = { ...process.env, PATH: `${this.folder}:${process.env["PATH"]}` };

  constructor() {
    symlinkSync(realpathSync(BINARY), `${this.folder}/meridian`);
    writeFileSync(`${this.folder}/nats`, NATS, { mode: 0o755 });
  }

  listen(line: string): Listening {
    // `exec`, so that what is stopped is the command and not the shell.
    const child = spawn("sh", ["-c", `exec ${line}`], { env: this.env });
    let said = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", (data) => (said += String(data)));
    }
    this.running.add(child);
    return {
      until: (what) => until_true(`${line}: ${what}`, () => what.test(said)),
      stop: () => void child.kill(),
    };
  }

  stop(): void {
    for (const child of this.running) child.kill();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Runs a line to its end, which must be a good one. */
export async function runLine({ env }: Terminal, line: string): Promise<void> {
  try {
    await promisify(execFile)("sh", ["-c", line], { env, timeout: DEADLINE_MS });
  } catch (error) {
    assert.fail(`${line}: ${error}`);
  }
}
