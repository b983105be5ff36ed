/** What the test pages load: the client, under a name that tests reach. */

import * as client from "../src/index.ts";
import { fallback } from "../src/fallback.ts";
import { pb } from "../src/pb.ts";

Object.assign(globalThis, { client, fallback, pb });
