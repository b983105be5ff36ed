/** What the edge tells the page of the mesh, at `/demo/mesh.json`. */

export interface Region {
  name: string;
  /** The WebSocket of its first edge. */
  ws: string;
  /** The same edge over HTTP. */
  http: string;
  /** For NATS clients; empty where nobody may know. */
  nats: string;
}

export interface Told {
  /** The region that served this page. */
  here: string;
  regions: Region[];
  /** Added between any two regions, both ways together. */
  rtt_ms: number;
  /** Where orders to kill and revive go; undefined outside `meridian dev`. */
  control?: { url: string; token: string };
}

export async function askMesh(): Promise<Told> {
  const answer = await fetch("/demo/mesh.json");
  const { here, regions, rtt_ms, control, control_token } = await answer.json();
  const known: { name: string; url: string; nats: string }[] = regions.length
    ? regions
    : [{ name: here, url: `${location.origin.replace("http", "ws")}/v1/ws`, nats: "" }];
  return {
    here,
    regions: known.map(({ name, url, nats }) => ({
      name,
      ws: url,
      http: url.replace(/^ws/, "http").replace(/\/v1\/ws$/, ""),
      nats,
    })),
    rtt_ms,
    control: control ? { url: control, token: control_token } : undefined,
  };
}
