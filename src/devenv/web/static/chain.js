/** Cause and effect below the timeline: the chosen event with what led to it and what came of it; else the last save. */

import { chainOf, failuresIn, isFailure } from "./causes.js";
import { byId, make } from "./dom.js";
import { inkOf } from "./drawing.js";
import { formatClock, formatDuration, pathEnd, someOf } from "./format.js";

const MOST = 14; // events shown
/** @typedef {import("./causes.js").Item} Item */
/** @typedef {{selectItem: (id: string | number) => void, showLine: (item: Item) => void, zoom: (chain: Item[]) => void}} ChainActions */

/**
 * @param {import("./model.js").Model} model
 * @param {Item | null} chosen
 * @param {ChainActions} actions
 */
export function renderChain(model, chosen, actions) {
  const place = byId("chain");
  const subject = chosen ?? lastSave(model);
  const chain = subject ? chainOf(model.items, subject) : [];
  const key = JSON.stringify([chosen?.id ?? null, chain.map((item) => [item.id, item.end, item.title, item.detail, item.tone])]);
  if (place.dataset.key === key) return;
  place.dataset.key = key;
  if (!subject) {
    place.replaceChildren(make("p", { class: "note", text: "Saves, syncs, restarts and errors appear here. Drag over a time to see its log alone; the wheel zooms." }));
    return;
  }
  const failures = failuresIn(chain);
  const verdict = failures.length ? `${failures.length} error${failures.length === 1 ? "" : "s"}` : "";
  const heading = chosen ? "Selected" : "Last save";
  const shown = chain.length > MOST ? [...chain.slice(0, MOST - failures.length), ...failures].filter((item, index, all) => all.indexOf(item) === index) : chain;
  place.replaceChildren(
    make("p", { class: "chain-title" }, heading, verdict ? make("span", { class: "verdict", text: verdict }) : null,
      chain.length > 1 ? make("button", { type: "button", class: "quiet", text: "zoom", "aria-label": "Zoom to these events", on: { click: () => actions.zoom(chain) } }) : null),
    make("ol", { class: "chain-items" }, ...shown.map((item, index) => chainItem(item, shown.slice(0, index), chosen, actions))),
  );
  if (chain.length > shown.length) place.append(make("p", { class: "note", text: `${chain.length - shown.length} more` }));
}

/** @param {import("./model.js").Model} model @returns {Item | null} */
function lastSave(model) {
  let last = null;
  for (const item of model.items.values()) if (item.kind === "save" && (!last || item.start >= last.start)) last = item;
  return last;
}

/** @param {Item} item @param {Item[]} before @param {Item | null} chosen @param {ChainActions} actions */
function chainItem(item, before, chosen, actions) {
  const saysTime = / in [\d.,]+ ?(ms|s|min)\b/.test(item.title);
  const took = saysTime ? "" : item.end !== null && item.end > item.start ? formatDuration(item.end - item.start) : item.end === null && !isFailure(item) ? "running" : "";
  const when = before.length ? `+${formatDuration(item.start - before[0].start)}` : formatClock(item.start);
  const service = item.service === before[before.length - 1]?.service ? "" : item.service;
  const what = item.kind === "save" ? someOf(item.files.map((file) => pathEnd(file)), 3) || item.title : [service, item.title || item.kind].filter(Boolean).join(" ");
  const isChosen = item.id === chosen?.id;
  return make(
    "li", { class: `chain-item${isFailure(item) ? " is-bad" : ""}${isChosen ? " is-chosen" : ""}` },
    make("button", { type: "button", class: "chain-button", "aria-pressed": String(isChosen), title: [...item.files, item.detail].filter(Boolean).join("\n") || null, on: { click: () => actions.selectItem(item.id) } },
      make("span", { class: `swatch shape-${item.kind} ink-${inkOf(item)}`, "aria-hidden": "true" }),
      make("span", { class: "chain-what", text: what }),
      item.detail && isFailure(item) ? make("span", { class: "chain-detail", text: item.detail }) : null,
      make("span", { class: "note", text: [took, when].filter(Boolean).join(" · ") })),
    item.line !== null || isFailure(item) ? make("button", { type: "button", class: "quiet", text: "log", "aria-label": `Show the log of ${what}`, on: { click: () => actions.showLine(item) } }) : null,
  );
}
