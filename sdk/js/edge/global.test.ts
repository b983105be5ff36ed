/**
 * The package as an application of Node has it: by its name, from `dist/`, with the global
 * WebSocket (from Node 22 on; Node 20 has it behind a flag), against a real edge.
 */

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { after, before, test } from "node:test";
import { promisify } from "node:util";
import { type Development, develop } from "./development.ts";

const DEADLINE_MS = 60_000;
/** Without one, Node has the class by itself. */
const FLAGS = globalThis.WebSocket ? [] : ["--experimental-websocket"];

/** Nothing here names a WebSocket class. */
const APPLICATION = `
  import { connect } from "@meridian/client";
  import { pb } from "@meridian/client/pb";
  const mesh = connect(process.env.EDGE, { codecs: [pb] });
  const sub = mesh.subscribe("demo.node.*");
  await sub.ready();
  await mesh.publish("demo.node.a", { hi: 1 });
  for await (const message of sub) {
    console.log(message.tokens[0], message.text());
    break;
  }
  mesh.close();
`;

let mesh: Development;
before(async () => {
  mesh = await develop(["--regions", "1"]);
});
after(() => mesh?.stop());

test("an_application_of_node_needs_no_WebSocket_class", { timeout: 2 * DEADLINE_MS }, async () => {
  const run = promisify(execFile)(
    process.execPath,
    [...FLAGS, "--input-type=module", "--eval", APPLICATION],
    { env: { ...process.env, EDGE: mesh.regions[0]!.ws }, timeout: DEADLINE_MS },
  );
  // It also ends by itself: a closed mesh keeps no timer.
  assert.equal((await run).stdout, `a {"hi":1}\n`);
});
