/**
 * `@meridian/client/worker`: the script of the SharedWorker. One classic script without imports,
 * which the application serves from its own origin; nothing in it is called from elsewhere.
 */

import { serve } from "./tabs/serve.ts";

Object.assign(globalThis, {
  onconnect: ({ ports }: MessageEvent) => serve(ports[0] as MessagePort),
});
