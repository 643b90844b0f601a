/** The state of the page, folded from the messages of the stream. Pure. */

import { LineStore, withEarlier } from "./lines.js";

const MOST_ITEMS = 20000;
const MOST_POINTS = 400;

/**
 * A service as the stream has it.
 * @typedef {object} Service
 * @property {string} name
 * @property {string} phase
 * @property {string} word
 * @property {"good" | "bad" | "busy" | "idle"} tone
 * @property {string} detail
 * @property {string} error
 * @property {string} place
 * @property {string} check
 * @property {string} busy
 * @property {number | null} since
 * @property {string[]} urls
 * @property {number | null} cpu
 * @property {number | null} memory
 * @property {number} restarts
 * @property {number} pending
 * @property {boolean} built
 * @property {string[]} needs
 * @property {{detail: string, seconds: number, holdsUp: string[], line: string} | null} waiting
 * @property {{at: number, ms: number, files: number, deleted: number, paths: string[]} | null} sync
 */

/** @typedef {{service: string, path: string, message: string, hint: string, since: number}} Problem */
/** @typedef {import("./causes.js").Item} Item */
/** @typedef {{name: string, start: number, end: number, critical: boolean, after: string}} Span */
/** @typedef {[number, number | null, number | null]} Point time, percent of a core, bytes */

/**
 * All that the page shows, apart from what the user has chosen.
 * @typedef {object} Model
 * @property {{project: string, folder: string, branch: string, version: string, readOnly: boolean, now: number, startedAt: number} | null} hello
 * @property {Service[]} services
 * @property {Problem[]} problems
 * @property {{name: string, detail: string} | null} step
 * @property {{seconds: number, urls: string[], forwarded_from: string} | null} ready
 * @property {Map<string, Point[]>} loads
 * @property {Map<string | number, Item>} items
 * @property {{seconds: number, spans: Span[]} | null} startup
 * @property {LineStore} lines
 * @property {string | null} ended the message, once there is nothing more to come
 * @property {Set<string>} again types of messages that a new stream will send from the beginning
 * @property {number} newest time of the newest message
 */

/** @returns {Model} */
export function emptyModel() {
  return {
    hello: null, services: [], problems: [], step: null, ready: null, loads: new Map(), items: new Map(),
    startup: null, lines: new LineStore(), ended: null, again: new Set(), newest: 0,
  };
}

/** Parts of the page that a message may change. @typedef {"hello" | "state" | "load" | "timeline" | "startup" | "log" | "done" | "ended" | "run" | ""} Part */

/**
 * Apply a message; unknown types change nothing.
 * @param {Model} model
 * @param {any} message
 * @returns {Part} what changed; "run": everything, since another run has begun
 */
export function applyMessage(model, message) {
  switch (message.type) {
    case "hello": return applyHello(model, message);
    case "state":
      model.services = (message.services ?? []).map(completeService);
      model.problems = message.problems ?? [];
      model.step = message.step ?? null;
      model.ready = message.ready ?? null;
      return "state";
    case "load": return applyLoad(model, message);
    case "timeline": return applyTimeline(model, message);
    case "startup":
      model.startup = { seconds: message.seconds, spans: message.spans ?? [] };
      return "startup";
    case "log": return applyLines(model, message.lines ?? []);
    case "done": return "done";
    case "ended":
      model.ended = `${message.goesOn ? "This page has ended" : "The run has ended"}${message.reason ? `: ${message.reason}` : ""}.`;
      return "ended";
    default: return "";
  }
}

/** @param {Model} model @param {any} message @returns {Part} */
function applyHello(model, message) {
  const isOther = model.hello !== null && model.hello.startedAt !== message.startedAt;
  if (isOther) Object.assign(model, emptyModel());
  else if (model.hello) model.again = new Set(["log", "timeline"]);
  model.hello = message;
  model.ended = null;
  model.newest = Math.max(model.newest, message.now ?? 0);
  return isOther ? "run" : "hello";
}

/** @param {any} service @returns {Service} */
function completeService(service) {
  return {
    phase: "", word: service.phase ?? "", tone: "idle", detail: "", error: "", place: "", check: "", busy: "",
    since: null, cpu: null, memory: null, restarts: 0, pending: 0, built: false, waiting: null, sync: null,
    ...service, urls: service.urls ?? [], needs: service.needs ?? [],
  };
}

/** @param {Model} model @param {{service: string, points: Point[]}} message @returns {Part} */
function applyLoad(model, message) {
  const points = model.loads.get(message.service) ?? [];
  const last = points.length ? points[points.length - 1][0] : -Infinity;
  for (const point of message.points ?? []) if (point[0] > last) points.push(point);
  if (points.length > MOST_POINTS) points.splice(0, points.length - MOST_POINTS);
  model.loads.set(message.service, points);
  return "load";
}

/** @param {Model} model @param {{items: any[]}} message @returns {Part} */
function applyTimeline(model, message) {
  if (model.again.delete("timeline")) model.items.clear();
  for (const item of message.items ?? []) {
    model.items.set(item.id, {
      kind: "", service: "", title: "", detail: "", tone: "idle", cause: null, line: null, end: item.start,
      ...item, files: item.files ?? [],
    });
    model.newest = Math.max(model.newest, item.start, item.end ?? 0);
  }
  if (model.items.size > MOST_ITEMS) {
    for (const id of model.items.keys()) {
      if (model.items.size <= MOST_ITEMS) break;
      model.items.delete(id);
    }
  }
  return "timeline";
}

/**
 * Add lines. After a lost connection, lines that the page has come again; their numbers may be others, too.
 * @param {Model} model
 * @param {any[]} lines
 * @returns {Part}
 */
function applyLines(model, lines) {
  if (lines.length && model.again.delete("log") && !hasLine(model.lines, lines[0])) model.lines = new LineStore();
  const { lines: store } = model;
  for (const line of lines) {
    if (line[0] > store.lastNumber) store.add(line);
  }
  if (store.size) model.newest = Math.max(model.newest, store.at(store.end - 1).at);
  return "log";
}

/** @param {LineStore} store @param {any[]} line */
function hasLine(store, line) {
  const position = store.positionOf(line[0]);
  if (position >= store.end) return false;
  const { number, text } = store.at(position);
  return number === line[0] && text === line[4];
}

/** Put lines before those of the stream. @param {Model} model @param {any[]} lines */
export function applyEarlier(model, lines) {
  model.lines = withEarlier(model.lines, lines);
}

/** Whether a service needs a look. @param {Service} service */
export function isBroken(service) {
  return service.tone === "bad" || service.error !== "";
}

/**
 * The sentence of the header, such as `5 of 6 up, 1 error`.
 * @param {Model} model
 * @returns {{text: string, tone: "good" | "bad" | "busy" | "idle"}}
 */
export function summary(model) {
  const { services, problems } = model;
  if (!services.length) return { text: model.hello ? "no services yet" : "connecting", tone: "idle" };
  const up = services.filter((service) => service.tone === "good").length;
  const broken = services.filter(isBroken);
  const elsewhere = problems.filter((problem) => !broken.some((service) => service.name === problem.service));
  const errors = broken.length + elsewhere.length;
  const text = `${up} of ${services.length} up${errors ? `, ${errors} error${errors === 1 ? "" : "s"}` : ""}`;
  const isBusy = model.step !== null || services.some((service) => service.tone === "busy" || service.busy !== "");
  if (errors) return { text, tone: "bad" };
  return { text, tone: isBusy ? "busy" : up === services.length ? "good" : "idle" };
}

/**
 * The services in the order of the page: broken ones first, then those that are busy, each as in the project.
 * @param {Service[]} services
 * @returns {Service[]}
 */
export function errorsFirst(services) {
  /** @param {Service} service */
  const rank = (service) => (isBroken(service) ? 0 : service.waiting || service.tone === "busy" || service.busy ? 1 : 2);
  return services.map((service, index) => ({ service, index }))
    .sort((one, other) => rank(one.service) - rank(other.service) || one.index - other.index)
    .map(({ service }) => service);
}

/**
 * What a screen reader hears after a change of state: only new errors and their end.
 * @param {Service[]} before
 * @param {Service[]} after
 * @returns {string}
 */
export function announcement(before, after) {
  const known = new Map(before.map((service) => [service.name, service]));
  const parts = [];
  for (const service of after) {
    const old = known.get(service.name);
    if (!old) continue;
    if (isBroken(service) && (!isBroken(old) || service.error !== old.error)) {
      parts.push(`${service.name}: ${service.error || service.detail || service.word}`);
    } else if (isBroken(old) && !isBroken(service)) {
      parts.push(`${service.name} is ${service.word} again`);
    }
  }
  return parts.slice(0, 3).join("; ");
}
