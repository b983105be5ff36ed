// The demo page: a connection for each chosen region, and the messages of one filter.
// It speaks proto/PROTOCOL.md. Nothing that was received is read as HTML.

const SUBPROTOCOL = "meridian.v1.json";
// Older rows go, so an open page stays small.
const ROWS_MAX = 200;
const PAYLOAD_SHOWN_MAX = 2000;
const BACKOFF_MIN_MS = 500;
const BACKOFF_MAX_MS = 20_000;
// After so long a life the backoff starts again.
const LIVED_MS = 10_000;
const SUBSCRIBE_ID = 2;

const byId = (id) => document.getElementById(id);
const log = byId("log");
let links = [];
let regions = [];
let messages = 0;
let newRows = [];

// Close codes after which to come back.
function mayReconnect(code) {
  return [1001, 1006, 1011, 1012, 1013].includes(code) ||
    (code >= 3000 && code < 3500) || (code >= 4000 && code < 4500);
}

function element(name, className, text) {
  const made = document.createElement(name);
  made.className = className;
  made.textContent = text;
  return made;
}

function addRow(className, region, ...cells) {
  const row = element("li", className, "");
  // Local time, to the ms.
  const time = new Date(Date.now() - 60_000 * new Date().getTimezoneOffset())
    .toISOString().slice(11, 23);
  row.append(element("time", "", time), element("span", "region", region), ...cells);
  // One change of the page a picture.
  if (!newRows.length) requestAnimationFrame(showRows);
  newRows.unshift(row);
  newRows.length = Math.min(newRows.length, ROWS_MAX);
}

function showRows() {
  log.prepend(...newRows);
  newRows = [];
  while (log.children.length > ROWS_MAX) log.lastElementChild.remove();
  byId("count").textContent = messages;
  byId("empty").hidden = true;
}

const addNote = (region, text) => addRow("note", region, element("span", "text", text));

function payloadText(m) {
  if ("t" in m) return m.t;
  if ("b" in m) return `base64 ${m.b}`;
  return "d" in m ? JSON.stringify(m.d) : "(empty)";
}

// One region's connection. It owns its socket, its timer and its line in the list.
class Link {
  constructor(region, filter) {
    this.region = region;
    this.filter = filter;
    this.line = byId("links").appendChild(document.createElement("li"));
    this.backoff = BACKOFF_MIN_MS;
    this.nextId = SUBSCRIBE_ID + 1;
    this.publishing = new Set();
    this.degraded = [];
    this.open();
  }

  open() {
    this.show("wait", "connecting");
    const began = Date.now();
    this.goaway = null;
    const socket = this.socket = new WebSocket(this.region.url, SUBPROTOCOL);
    socket.onopen = () => this.send(
      { id: 1, connect: { name: "demo page", feat: ["gap", "goaway", "mesh"] } },
      { id: SUBSCRIBE_ID, subscribe: { f: this.filter } });
    socket.onmessage = (event) => {
      for (const line of event.data.split("\n")) if (line) this.take(JSON.parse(line));
    };
    socket.onclose = (event) => this.closed(event, Date.now() - began);
  }

  // Several commands in one frame: the edge carries them out in order.
  send(...commands) {
    this.socket.send(commands.map((command) => JSON.stringify(command)).join("\n"));
  }

  stop() {
    clearTimeout(this.timer);
    this.socket.onclose = this.socket.onmessage = this.socket.onopen = null;
    this.socket.close(1000);
    this.line.remove();
  }

  publish(body) {
    if (this.socket.readyState !== WebSocket.OPEN) return false;
    const id = this.nextId++;
    this.publishing.add(id);
    this.socket.send(`{"id":${id},"publish":${body}}`);
    return true;
  }

  take(item) {
    const name = this.region.name;
    if (item.m) {
      messages++;
      addRow("", name, element("span", "subject", item.m.s),
        element("span", "payload", payloadText(item.m).slice(0, PAYLOAD_SHOWN_MAX)));
    } else if (item.connect) {
      this.node = item.connect.node;
      this.show("wait", `subscribing at ${this.node}`);
    } else if (item.subscribe) {
      this.show("open", `listening to ${this.filter} at ${this.node}`);
    } else if (item.gap) {
      addNote(name, `gap: messages may be missing here (${item.gap.why})`);
    } else if (item.mesh) {
      this.degraded = item.mesh.degraded;
      addNote(name, this.degraded.length ? `not heard: ${this.degraded.join(", ")}`
        : "all regions are heard again");
      this.show(this.state, this.text);
    } else if (item.goaway) {
      this.goaway = item.goaway;
      addNote(name, `the edge asks to leave: ${item.goaway.why}`);
    } else if (item.error) {
      this.failed(item);
    } else if (item.publish && this.publishing.delete(item.id)) {
      byId("published").textContent = `taken by the NATS server of ${name}`;
    }
  }

  failed({ id, error }) {
    const text = `error ${error.code}: ${error.msg}${error.hint ? ` (${error.hint})` : ""}`;
    if (this.publishing.delete(id)) byId("published").textContent = text;
    else if (id === SUBSCRIBE_ID) this.show("closed", text);
    else addNote(this.region.name, text);
  }

  closed({ code, reason }, livedMs) {
    const why = `closed ${code}${reason ? ` ${reason}` : ""}`;
    this.degraded = [];
    if (this.publishing.size) byId("published").textContent = `${why}: effect unknown`;
    this.publishing.clear();
    if (!mayReconnect(code)) return this.show("closed", why);
    if (livedMs >= LIVED_MS) this.backoff = BACKOFF_MIN_MS;
    const [least, most] = this.goaway?.after_ms ?? [0, this.backoff];
    const delay = least + Math.random() * (most - least);
    this.backoff = Math.min(this.backoff * 2, BACKOFF_MAX_MS);
    this.show("wait", `${why}; again in ${(delay / 1000).toFixed(1)} s`);
    this.timer = setTimeout(() => this.open(), delay);
  }

  show(state, text) {
    [this.state, this.text] = [state, text];
    const missing = this.degraded.length ? `; not heard: ${this.degraded.join(", ")}` : "";
    this.line.className = state;
    this.line.textContent = `${this.region.name}: ${text}${missing}`;
  }
}

function stop() {
  for (const link of links) link.stop();
  links = [];
}

function listen() {
  stop();
  const chosen = byId("region").value;
  links = regions.filter(({ name }) => !chosen || chosen === name)
    .map((region) => new Link(region, byId("filter").value.trim()));
}

// JSON as it was typed if it is JSON, else text: what the command line does too.
function publish() {
  const text = byId("payload").value;
  let payload = `"d":${text}`;
  try {
    JSON.parse(text);
  } catch {
    payload = `"t":${JSON.stringify(text)}`;
  }
  const body = `{"s":${JSON.stringify(byId("subject").value.trim())},${payload}}`;
  byId("published").textContent = "";
  const isSent = links.some((link) => link.publish(body));
  if (!isSent) byId("published").textContent = "not connected: press Listen first";
}

// A word that any POSIX shell reads as it is.
const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

function showCommands() {
  const { url } = regions.find(({ name }) => name === byId("region").value) ?? regions[0];
  const words = `pub ${quoted(byId("subject").value)} ${quoted(byId("payload").value)}`;
  const lines = [`meridian ${words} --url ${url}`];
  // `meridian dev` puts a region's NATS ten ports below its first edge.
  const { hostname, port } = new URL(url);
  if (hostname === "127.0.0.1") {
    lines.unshift(`nats --server nats://app:app@${hostname}:${port - 10} ${words}`);
  }
  byId("commands").textContent = lines.join("\n");
}

function on(id, type, act) {
  byId(id).addEventListener(type, (event) => {
    event.preventDefault();
    act();
  });
}

async function start() {
  regions = await (await fetch("/demo/regions.json")).json();
  if (!regions.length) {
    regions = [{ name: "here", url: `${location.origin.replace("http", "ws")}/v1/ws` }];
  }
  byId("region").append(new Option("all", ""), ...regions.map(({ name }) => new Option(name)));
  on("listen", "submit", listen);
  on("publish", "submit", publish);
  on("stop", "click", stop);
  on("clear", "click", () => log.replaceChildren());
  for (const id of ["region", "subject", "payload"]) on(id, "input", showCommands);
  showCommands();
  listen();
}

start().catch((error) => {
  byId("empty").textContent = `cannot start: ${error.message}; reload the page`;
});
