/** The keys of the page. */

import { byId, make } from "./dom.js";

const HELP = [
  ["/", "filter the log: text, /regex/, @service, level:error"],
  ["e  E", "the last error in the log; again: the one before, the next one"],
  ["j  k", "the next service, the one before"],
  ["l  Enter", "the log of this service alone, and back"],
  ["r  b  s", "restart, rebuild, stop or start this service; stop asks first"],
  ["o", "open this service in the browser"],
  ["t", "the timeline: arrows move between events, + − zoom, 0 all"],
  ["z", "zoom to the selected time, or to the chosen event with its causes and effects"],
  ["u", "the start of the run as a waterfall"],
  ["f  w", "follow the log or pause; wrap long lines or cut them"],
  ["Esc", "back: a dialog, a line, an event, a filter"],
  ["?", "these keys"],
];

/** Fill the help. @param {string} version */
export function fillHelp(version) {
  byId("help-keys").replaceChildren(...HELP.map(([keys, text]) => make("div", {}, make("dt", {}, ...keys.split("  ").map((key) => make("kbd", { text: key }))), make("dd", { text }))));
  byId("help-version").textContent = version ? `devenv ${version}` : "";
}

/**
 * Call a handler for each key that is not typed into a field.
 * @param {Record<string, () => void>} handlers by key
 */
export function listenToKeys(handlers) {
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
    const target = /** @type {HTMLElement} */ (event.target);
    const isTyping = target.matches("input, textarea, select, [contenteditable]");
    if (document.querySelector("dialog[open]")) return;
    if (isTyping && event.key !== "Escape") return;
    if (event.key === "Enter" && target !== document.body) return; // a button's own key
    const handler = handlers[event.key];
    if (!handler) return;
    event.preventDefault();
    handler();
  });
}
