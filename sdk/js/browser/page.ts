/** What the test pages load: the client, under a name that tests reach. */

import * as client from "../src/index.ts";
import { fallback } from "../src/fallback.ts";
import { pb } from "../src/pb.ts";
import { connectShared } from "../src/tabs.ts";

/** The worker as an application serves it. */
const worker = (): SharedWorker => new SharedWorker("/worker.js");

Object.assign(globalThis, { client, connectShared, fallback, pb, worker });
