/** The page: connects the stream, the state and the panels. */

import { renderChain } from "./chain.js";
import { connect } from "./connection.js";
import { byId, setAttribute, setText } from "./dom.js";
import { hideBanner, initTheme, renderConnection, renderHeader, renderTitle, showBanner } from "./header.js";
import { fillHelp, listenToKeys } from "./keys.js";
import { LineStore } from "./lines.js";
import { LogPanel } from "./log.js";
import { announcement, applyEarlier, applyMessage, emptyModel } from "./model.js";
import { colourClass, ServiceList, stopOrStart } from "./services.js";
import { renderStartup } from "./startup.js";
import { Timeline } from "./timeline.js";

const TICK = 1000; // milliseconds between updates of ages
const model = emptyModel();
const report = byId("report");
const page = { connection: "connecting", lastRun: /** @type {LineStore | null} */ (null), shownLastRun: false, question: Promise.resolve(false) };
const pending = new Set(/** @type {string[]} */ ([]));
const loads = new Set(/** @type {string[]} */ ([]));

/** @returns {number} the time that the page shows as now: that of the last message in a report */
function currentTime() {
  return report || model.ended !== null ? model.newest : Date.now();
}

const chainActions = { selectItem, showLine, zoom: (/** @type {any[]} */ chain) => timeline.zoomTo(chain) };
const services = new ServiceList(model, { act, selectItem: showCause, showOnly });
const timeline = new Timeline(model, {
  now: currentTime,
  onItem: (item) => (item ? selectItem(item.id) : clearItem()),
  onRange: selectRange,
  onMoment: (at) => {
    timeline.mark(at);
    log.showMoment(at);
  },
});
const log = new LogPanel(model.lines, {
  colour: (service) => colourClass(model, service),
  onLine: selectLine,
  onOnly: showOnly,
  onRange: selectRange,
});
/** @type {ReturnType<typeof connect> | null} */
let connection = null;

/** Draw with the next frame what has changed. @param {string} part */
function changed(part) {
  if (!pending.size) requestAnimationFrame(drawPending);
  pending.add(part);
}

function drawPending() {
  const has = (/** @type {string[]} */ ...parts) => parts.some((part) => pending.has(part));
  const now = currentTime();
  if (has("hello", "state", "run", "ended", "tick")) renderHeader(model);
  if (has("hello", "state", "timeline", "run", "ended", "tick")) services.render(now);
  if (has("startup", "state", "run")) renderStartup(model);
  for (const name of loads) services.renderLoad(name, now);
  if (has("timeline")) timeline.refreshChoice();
  if (has("timeline", "state", "run", "tick", "hello")) {
    timeline.render();
    renderChain(model, timeline.chosen, chainActions);
  }
  if (has("log", "run", "state")) log.render();
  loads.clear();
  pending.clear();
}

/** @param {any} message */
function receive(message) {
  const before = model.services;
  const part = applyMessage(model, message);
  if (part === "run") {
    page.shownLastRun = false;
    timeline.choose(null);
  } else if (part === "load") loads.add(message.service);
  else if (part === "hello") fillHelp(message.version);
  else if (part === "ended") renderConnection(page.connection, model.ended);
  else if (part === "done" && message.error) showBanner(`${message.verb} ${message.service}: ${message.error}`);
  if (!page.shownLastRun && log.shown.store !== model.lines) {
    log.setStore(model.lines);
    byId("earlier").disabled = false;
  }
  if (part === "done") setText(byId("announcer"), message.error ? "" : `${message.service}: ${message.verb} is done`);
  if (part === "state" || part === "run") {
    renderTitle(model);
    const text = announcement(before, model.services);
    if (text) setText(byId("announcer"), text);
  }
  if (part) changed(part);
}

/** @param {string} verb @param {string} service */
async function act(verb, service) {
  if (!connection || model.hello?.readOnly) return;
  if (verb === "stop" && !(await confirmStop(service))) return;
  try {
    await connection.post("/api/action", { verb, service });
    hideBanner();
    setText(byId("announcer"), `${verb} of ${service} has begun`);
  } catch (error) {
    const { message, hint } = /** @type {Error & {hint: string}} */ (error);
    showBanner(`${verb} ${service}: ${message}${hint ? ` · hint: ${hint}` : ""}`);
  }
}

/**
 * Whether the user agrees to stop a service. Questions wait for each other: the browser sends "close" later than it closes a
 * dialog, and the next question must not take it for its own answer.
 * @param {string} service @returns {Promise<boolean>}
 */
function confirmStop(service) {
  page.question = page.question.then(() => askToStop(service));
  return page.question;
}

/** @param {string} service @returns {Promise<boolean>} */
function askToStop(service) {
  const dialog = byId("confirm");
  const dependents = model.services.filter((other) => other.needs.includes(service)).map((other) => other.name);
  setText(byId("confirm-title"), `Stop ${service}?`);
  setText(byId("confirm-text"), dependents.length ? `Used by ${dependents.join(", ")}. Its data stay.` : "Its data stay.");
  dialog.returnValue = "no";
  dialog.showModal();
  byId("confirm-yes").focus();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}

/** Choose an event: its causes and effects are marked, and the log shows its line. @param {string | number} id */
function selectItem(id) {
  const item = model.items.get(id);
  if (!item) return;
  if (byId("events").hidden) showStart(false);
  timeline.choose(item);
  renderChain(model, item, chainActions);
  showLine(item);
}

/** Choose the error of a service, and zoom to what led to it. @param {string | number} id */
function showCause(id) {
  selectItem(id);
  timeline.zoomTo(timeline.chain);
}

/** @param {import("./causes.js").Item} item */
function showLine(item) {
  if (page.shownLastRun) return;
  if (item.line === null || !log.showNumber(item.line)) log.showMoment(item.start);
}

function clearItem() {
  timeline.choose(null);
  renderChain(model, null, chainActions);
}

/** A line was chosen in the log: mark its moment, or its event. @param {any} line */
function selectLine(line) {
  if (!line || page.shownLastRun) {
    timeline.mark(null);
    return;
  }
  for (const item of model.items.values()) {
    if (item.line !== null && (item.line === line.number || (line.group !== 0 && item.line === line.group))) {
      timeline.choose(item);
      renderChain(model, item, chainActions);
      return;
    }
  }
  clearItem();
  timeline.mark(line.at);
}

/** @param {[number, number] | null} range */
function selectRange(range) {
  timeline.select(range);
  log.setChoices({ range });
}

/** @param {string} name empty or the same again: all services */
function showOnly(name) {
  const only = services.only === name ? "" : name;
  services.only = only;
  log.setChoices({ only });
  services.render(currentTime());
}

/** Show the start as a waterfall, or the events. @param {boolean} isStart */
function showStart(isStart) {
  byId("startup").hidden = !isStart;
  byId("events").hidden = isStart;
  byId("chain").hidden = isStart;
  byId("hidden-tracks").hidden = isStart;
  byId("legend").hidden = isStart;
  byId("spans").hidden = isStart;
  setAttribute(byId("show-startup"), "aria-pressed", String(isStart));
  setAttribute(byId("show-events"), "aria-pressed", String(!isStart));
  timeline.render();
}

/** One step back: the line, the event, the range, the filter, the service. */
function goBack() {
  if (document.activeElement === log.search) log.scroller.focus();
  if (log.chosen !== null) log.choose(null);
  else if (timeline.chosen) {
    clearItem();
    timeline.resume();
  }
  else if (log.choices.range) selectRange(null);
  else if (!log.clear() && services.only) showOnly("");
}

async function loadEarlier() {
  const button = byId("earlier");
  button.disabled = true;
  try {
    const answer = await /** @type {any} */ (connection).post("/api/earlier", {});
    const known = model.lines.size;
    applyEarlier(model, answer.lines ?? []);
    if (!page.shownLastRun) log.setStore(model.lines);
    const text = model.lines.size > known ? "earlier lines are shown" : "there are no earlier lines";
    setAttribute(button, "title", text);
    setText(byId("announcer"), text);
  } catch (error) {
    showBanner(`earlier lines: ${/** @type {Error} */ (error).message}`);
    button.disabled = false;
  }
}

async function toggleLastRun() {
  const button = byId("last-run");
  try {
    if (!page.lastRun) {
      const answer = await /** @type {any} */ (connection).post("/api/earlier", { run: "last" });
      page.lastRun = new LineStore();
      for (const line of answer.lines ?? []) page.lastRun.add(line);
    }
    page.shownLastRun = !page.shownLastRun;
    log.follows = true;
    log.setStore(page.shownLastRun ? page.lastRun : model.lines);
    setText(byId("log-title"), page.shownLastRun ? "Log of the last run" : "Log");
    setAttribute(button, "aria-pressed", String(page.shownLastRun));
  } catch (error) {
    showBanner(`the last run: ${/** @type {Error} */ (error).message}`);
  }
}

async function copyLog() {
  try {
    await navigator.clipboard.writeText(log.text());
    setText(byId("announcer"), "copied");
    setText(byId("copy"), "Copied");
    setTimeout(() => setText(byId("copy"), "Copy"), 1500);
  } catch {
    showBanner("The browser does not allow this page to copy.");
  }
}

function downloadLog() {
  const url = URL.createObjectURL(new Blob([log.text(), "\n"], { type: "text/plain" }));
  const link = document.createElement("a");
  link.href = url;
  link.download = `${model.hello?.project ?? "devenv"}.log`;
  link.click();
  URL.revokeObjectURL(url);
}

function start() {
  initTheme(() => {
    timeline.palette.reset();
    timeline.render();
  });
  fillHelp("");
  byId("help-button").addEventListener("click", () => byId("help").showModal());
  byId("show-events").addEventListener("click", () => showStart(false));
  byId("show-startup").addEventListener("click", () => showStart(true));
  byId("earlier").addEventListener("click", loadEarlier);
  byId("last-run").addEventListener("click", toggleLastRun);
  byId("copy").addEventListener("click", copyLog);
  byId("download").addEventListener("click", downloadLog);
  const chosen = (/** @type {(service: any) => void} */ action) => () => {
    const service = services.service();
    if (service) action(service);
  };
  listenToKeys({
    "/": () => log.search.focus(),
    e: () => log.moveToError(-1),
    E: () => log.moveToError(1),
    j: () => services.move(1),
    k: () => services.move(-1),
    l: chosen((service) => showOnly(service.name)),
    Enter: chosen((service) => showOnly(service.name)),
    r: chosen((service) => act("restart", service.name)),
    b: chosen((service) => service.built && act("rebuild", service.name)),
    s: chosen((service) => act(stopOrStart(service), service.name)),
    o: chosen((service) => service.urls[0] && window.open(service.urls[0], "_blank", "noopener")),
    z: () => timeline.zoomToChoice(),
    t: () => {
      showStart(false);
      timeline.scroller.focus();
    },
    u: () => showStart(byId("startup").hidden),
    w: () => log.setWrap(!log.wraps),
    f: () => log.setFollow(!log.follows),
    "?": () => byId("help").showModal(),
    Escape: goBack,
  });
  if (report) playReport(JSON.parse(report.textContent ?? "{}").messages ?? []);
  else follow();
  setInterval(() => {
    if (!document.hidden && model.hello && !report && model.ended === null) changed("tick");
  }, TICK);
}

/** Show the messages of a report; nothing is asked of a run. @param {any[]} messages */
function playReport(messages) {
  document.documentElement.classList.add("is-report");
  for (const message of messages) receive(message);
  if (model.hello) model.hello.readOnly = true;
  setText(byId("connection"), `report of ${new Date(model.newest).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" })}`);
  hideBanner();
  timeline.showLast(Infinity);
}

function follow() {
  connection = connect({
    onMessage: receive,
    onState: (state) => {
      page.connection = state;
      renderConnection(state, model.ended);
      if (model.ended !== null) connection?.stop();
    },
  });
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && page.connection === "lost") connection?.retry();
  });
}

start();
