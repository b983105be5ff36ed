/** A React page in StrictMode, which mounts everything twice. */

import { createElement, type ReactNode, StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { connect } from "../src/index.ts";
import { MeshProvider, useLatest, useMeshState, useSubscription } from "../src/react.ts";

const mesh = connect(new URLSearchParams(location.search).get("edge")!);
let count = 0;

function View(): ReactNode {
  const state = useMeshState();
  const { state: filter } = useSubscription("demo.strict", () => void count++);
  const latest = useLatest<number>("demo.strict");
  return createElement("p", { id: "view" }, `${state} ${filter} ${latest?.json() ?? "none"}`);
}

const root = createRoot(document.body);
const view = createElement(MeshProvider, { mesh }, createElement(View));
root.render(createElement(StrictMode, null, view));
Object.assign(globalThis, { mesh, counted: () => count, unmount: () => root.unmount() });
