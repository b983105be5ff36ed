/** The hooks on a server. On a page, with StrictMode: `browser/`. */

import assert from "node:assert/strict";
import { test } from "node:test";
import { createElement, type ReactNode } from "react";
import { renderToString } from "react-dom/server";
import { MeshProvider, useLatest, useMeshState, useSubscription } from "../src/react.ts";

function View(): ReactNode {
  const state = useMeshState();
  const { state: filter } = useSubscription("demo.b", () => {});
  const latest = useLatest<number>("demo.a");
  return createElement("p", null, `${state} ${filter} ${latest?.json() ?? "none"}`);
}

test("on_a_server_nothing_is_connected_and_the_hooks_have_their_first_values", () => {
  const view = createElement(MeshProvider, { mesh: undefined }, createElement(View));
  assert.equal(renderToString(view), "<p>idle pending none</p>");
});
