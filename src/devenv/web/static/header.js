/** The header: project, state, connection, colours. */

import { byId, make, setAttribute, setText } from "./dom.js";
import { formatDuration, isSafeUrl, shortUrl } from "./format.js";
import { summary } from "./model.js";

const CONNECTIONS = /** @type {Record<string, string>} */ ({
  connecting: "connecting", live: "live", lost: "connection lost", refused: "refused", full: "refused", "no-token": "no token",
});
const BANNERS = /** @type {Record<string, [string, string]>} */ ({
  lost: ["Connection lost. The page keeps what it has and tries again.", ""],
  refused: ["This address belongs to another run, or its token is not valid.", "devenv page"],
  full: ["Too many pages of this run are open. Close one and reload this one.", ""],
  "no-token": ["This address has no token. Open the page by the command, which adds it:", "devenv page"],
});
const PATIENCE = 800; // milliseconds before a lost connection is worth a message
const THEMES = ["", "light", "dark"];
const THEME_NAMES = ["as the system", "light", "dark"];

/** @typedef {import("./model.js").Model} Model */

let lostSince = 0; // a timer: most lost connections are there again at once

/** Show project, summary, step and addresses. @param {Model} model */
export function renderHeader(model) {
  const { hello, ready, step } = model;
  if (hello) {
    setText(byId("project"), hello.project);
    setText(byId("folder"), hello.folder);
    setText(byId("branch"), hello.branch);
    byId("branch").hidden = !hello.branch;
    byId("read-only").hidden = !hello.readOnly;
  }
  const { text, tone } = summary(model);
  setText(byId("summary-text"), text);
  setAttribute(byId("summary"), "class", `summary tone-${tone}`);
  const place = byId("step");
  if (step) setText(place, `${step.name}${step.detail ? `: ${step.detail}` : ""}`);
  else if (ready) renderReady(place, ready);
  else setText(place, "");
}

/** @param {HTMLElement} place @param {{seconds: number, urls: string[], forwarded_from: string}} ready */
function renderReady(place, ready) {
  const key = JSON.stringify(ready);
  if (place.dataset.key === key && place.childElementCount) return;
  place.dataset.key = key;
  const urls = ready.urls.filter(isSafeUrl).slice(0, 2);
  const from = ready.forwarded_from && urls.length > 0 ? `forwarded from ${ready.forwarded_from}, ` : "";
  place.replaceChildren(...urls.map(addressLink), make("span", { class: "note", text: `${from}up after ${formatDuration(ready.seconds * 1000)}` }));
}

/** A link to an address of the project. @param {string} url */
export function addressLink(url) {
  return make("a", { href: url, target: "_blank", rel: "noopener noreferrer", text: shortUrl(url) });
}

/** The title of the tab and its icon: whether something is broken. @param {Model} model */
export function renderTitle(model) {
  const { text, tone } = summary(model);
  const project = model.hello?.project ?? "devenv";
  document.title = `${tone === "bad" ? "✕ " : ""}${project}: ${text}`;
  const favicon = byId("favicon");
  if (favicon) setAttribute(favicon, "href", tone === "bad" ? "/static/favicon-bad.svg" : "/static/favicon.svg");
}

/**
 * Show the state of the connection, with a banner if the user has to know or do something.
 * @param {string} state
 * @param {string | null} ended
 */
export function renderConnection(state, ended) {
  const place = byId("connection");
  setText(place, ended === null ? (CONNECTIONS[state] ?? state) : "ended");
  setAttribute(place, "class", `connection is-${ended === null ? state : "ended"}`);
  if (ended !== null) showBanner(`${ended} What was shown stays here.`, "", "note");
  else if (state === "lost") lostSince ||= setTimeout(() => showBanner(...BANNERS.lost), PATIENCE);
  else if (BANNERS[state]) showBanner(...BANNERS[state]);
  else hideBanner();
  if (state === "lost" && ended === null) return;
  clearTimeout(lostSince);
  lostSince = 0;
}

/**
 * Show a message below the header.
 * @param {string} message
 * @param {string} [command] to type
 * @param {string} [kind] "note" or "fault"
 */
export function showBanner(message, command = "", kind = "fault") {
  const banner = byId("banner");
  setAttribute(banner, "class", `banner is-${kind}`);
  banner.replaceChildren(make("span", { text: message }));
  if (command) banner.append(" ", make("code", { text: command }));
  banner.append(make("button", { type: "button", class: "quiet", "aria-label": "Close this message", text: "×", on: { click: hideBanner } }));
  banner.hidden = false;
}

/** Hide the message below the header. */
export function hideBanner() {
  byId("banner").hidden = true;
}

/** Let the button change the colours: as the system, light, dark. @param {() => void} onChange */
export function initTheme(onChange) {
  const button = byId("theme");
  const apply = (/** @type {number} */ index) => {
    const theme = THEMES[index];
    if (theme) document.documentElement.dataset.theme = theme;
    else delete document.documentElement.dataset.theme;
    setAttribute(button, "title", `Colours: ${THEME_NAMES[index]}`);
    setText(button, index ? `Theme: ${THEMES[index]}` : "Theme");
    onChange();
  };
  let index = Math.max(THEMES.indexOf(remembered()), 0);
  button.addEventListener("click", () => {
    index = (index + 1) % THEMES.length;
    remember(THEMES[index]);
    apply(index);
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", onChange);
  apply(index);
}

function remembered() {
  try {
    return sessionStorage.getItem("devenv-theme") ?? "";
  } catch {
    return ""; // a report opened as a file may have no storage
  }
}

/** @param {string} theme */
function remember(theme) {
  try {
    sessionStorage.setItem("devenv-theme", theme);
  } catch {
    // the choice lasts as long as the page
  }
}
