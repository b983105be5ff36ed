/** An edge that asks for tokens, beside those of a development mesh, and the tokens it takes. */

import { type ChildProcess, spawn } from "node:child_process";
import { createHmac } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { BINARY, type Development } from "./development.ts";

const ISSUER = "test";
const AUDIENCE = "mesh";
/** Of an issuer that exists in tests only. */
const KEY = "a shared secret of thirty-two bytes";
/** How long the edge may take to be ready, and how often that is looked at. */
const START_MS_MAX = 60_000;
const LOOK_MS = 50;

/** A token for everything below a subject. */
export function sign(root: string, lives_s: number, key = KEY): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");
  const exp = Math.floor(Date.now() / 1000) + lives_s;
  const permissions = { sub: { allow: [`${root}.>`] } };
  const claims = { iss: ISSUER, aud: AUDIENCE, sub: "ann", exp, permissions };
  const signed = `${part({ alg: "HS256", typ: "JWT" })}.${part(claims)}`;
  return `${signed}.${createHmac("sha256", key).update(signed).digest("base64url")}`;
}

export class TokenEdge {
  private process: ChildProcess | undefined;

  private constructor(
    private readonly config: string,
    readonly ws: string,
    private readonly admin: string,
  ) {}

  /**
   * Another edge of a mesh's first region, and the only one that it tells of. Only pages of these
   * origins may use it, and what is no page.
   */
  static async start(mesh: Development, origins: string[] = []): Promise<TokenEdge> {
    const { name } = mesh.regions[0]!;
    const file = `${mesh.state}/${name}/${name}-1.toml`;
    const [publicPort, adminPort] = await Promise.all([freePort(), freePort()]);
    const auth = `[auth]
mode = "token"
clock_skew_s = 0

[[auth.issuers]]
issuer = "${ISSUER}"
audience = "${AUDIENCE}"
algorithm = "HS256"
key_env = "TOKEN_EDGE_KEY"
`;
    const text = readFileSync(file, "utf8")
      .replace(/^id = .*$/m, `id = "${name}-tokens"`)
      .replace(/^alternates = .*$/m, "alternates = []")
      // The first edge's user has that edge's inbox alone.
      .replace(/nats:\/\/[^@"]*@/g, "nats://app:app@")
      .replace(
        /^public = .*$/m,
        `public = "127.0.0.1:${publicPort}"\norigins = ${JSON.stringify(origins)}`,
      )
      .replace(/^admin = .*$/m, `admin = "127.0.0.1:${adminPort}"`)
      .replace(/^\[auth\]\nmode = .*\n/m, auth);
    const config = file.replace("-1.toml", "-tokens.toml");
    writeFileSync(config, text);
    const admin = `http://127.0.0.1:${adminPort}`;
    const edge = new TokenEdge(config, `ws://127.0.0.1:${publicPort}/v1/ws`, admin);
    await edge.revive();
    return edge;
  }

  /** Kills it outright; resolves when it is gone. */
  async kill(): Promise<void> {
    const { process } = this;
    this.process = undefined;
    if (!process || process.exitCode !== null) return;
    const gone = new Promise((done) => process.once("exit", done));
    process.kill("SIGKILL");
    await gone;
  }

  async revive(): Promise<void> {
    const env = { ...process.env, TOKEN_EDGE_KEY: KEY };
    const child = spawn(BINARY, ["edge", "--config", this.config], { stdio: "ignore", env });
    this.process = child;
    const deadline = Date.now() + START_MS_MAX;
    const isReady = (): Promise<boolean> =>
      fetch(`${this.admin}/readyz`).then(
        ({ ok }) => ok,
        () => false,
      );
    while (!(await isReady())) {
      const isOver = child.exitCode !== null || Date.now() > deadline;
      if (isOver) throw new Error(`${BINARY} edge --config ${this.config} is not ready`);
      await new Promise((done) => setTimeout(done, LOOK_MS));
    }
  }
}

/** A port that nobody uses at this moment. */
function freePort(): Promise<number> {
  return new Promise((done) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => done(port));
    });
  });
}
