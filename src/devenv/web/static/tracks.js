/** Where the items of the timeline are drawn: one track for saves, one for each service. Pure. */

import { toX } from "./scale.js";

export const TRACK_HEIGHT = 24;
const NEAR = 5; // pixels within which marks of the same kind become one
const SHORTEST_BAR = 3;

/** @typedef {import("./causes.js").Item} Item */
/** @typedef {import("./scale.js").Range} Range */

/** Height of a bar, and which item is drawn over which. */
const SHAPES = /** @type {Record<string, {shape: "bar" | "diamond" | "cross" | "dot" | "triangle", height: number, level: number}>} */ ({
  rebuild: { shape: "bar", height: 14, level: 0 },
  "build-step": { shape: "bar", height: 6, level: 1 },
  start: { shape: "bar", height: 6, level: 0 },
  restart: { shape: "bar", height: 10, level: 1 },
  reload: { shape: "diamond", height: 10, level: 3 },
  exec: { shape: "bar", height: 8, level: 2 },
  sync: { shape: "bar", height: 12, level: 2 },
  health: { shape: "dot", height: 8, level: 3 },
  save: { shape: "diamond", height: 10, level: 4 },
  problem: { shape: "triangle", height: 11, level: 5 },
  error: { shape: "cross", height: 10, level: 6 },
});
const OTHER = { shape: /** @type {const} */ ("dot"), height: 6, level: 1 };

/**
 * A drawn item, or several of one kind that are too near to each other.
 * @typedef {object} Mark
 * @property {Item} item the last one
 * @property {Item[]} items
 * @property {string} shape
 * @property {number} x
 * @property {number} right
 * @property {number} y the middle
 * @property {number} height
 * @property {number} level
 */

/** @typedef {{name: string, label: string, y: number}} Track */
/** @typedef {{x: number, right: number, y: number, tone: string}} Band the health of a service over a time */

/** The track of an item: that of its service, or "" for saves and what concerns the project. @param {Item} item */
export function trackOf(item) {
  return item.kind === "save" || item.kind === "reload" ? "" : item.service;
}

/**
 * Tracks and marks of a range.
 * @param {{items: Iterable<Item>, services: string[], broken?: Set<string>, range: Range, width: number, now: number}} given `broken`: services with an error now
 * @returns {{tracks: Track[], marks: Mark[], bands: Band[], height: number}}
 */
export function layoutTracks({ items, services, broken = new Set(), range, width, now }) {
  const tracks = ["", ...services].map((name, index) => ({ name, label: name || "saves", y: index * TRACK_HEIGHT }));
  const tops = new Map(tracks.map((track) => [track.name, track.y]));
  /** @type {Map<string, Item[]>} */
  const health = new Map();
  /** @type {Item[]} */
  const seen = [];
  for (const item of items) {
    if (item.kind === "health" || item.kind === "error") {
      const known = health.get(item.service);
      if (known) known.push(item);
      else health.set(item.service, [item]);
    }
    if (tops.has(trackOf(item)) && item.start <= range[1] && (item.end ?? now) >= range[0]) seen.push(item);
  }
  seen.sort((one, other) => one.start - other.start);
  return {
    tracks, marks: marksOf(seen, tops, range, width, now), bands: bandsOf(health, broken, tops, range, width, now),
    height: tracks.length * TRACK_HEIGHT,
  };
}

/**
 * @param {Item[]} items by time
 * @param {Map<string, number>} tops
 * @param {Range} range @param {number} width @param {number} now
 * @returns {Mark[]}
 */
function marksOf(items, tops, range, width, now) {
  /** @type {Mark[]} */
  const marks = [];
  /** @type {Map<string, Mark>} */
  const last = new Map();
  for (const item of items) {
    const { shape, height, level } = SHAPES[item.kind] ?? OTHER;
    const x = toX(range, width, item.start);
    const isBar = shape === "bar";
    const right = isBar ? Math.max(toX(range, width, item.end ?? now), x + SHORTEST_BAR) : x;
    const track = trackOf(item);
    const key = `${track}\n${item.kind}\n${item.tone}`;
    const before = last.get(key);
    if (before && x - before.right < (isBar ? 1 : NEAR) && right - x <= SHORTEST_BAR) {
      before.items.push(item);
      before.item = item;
      before.right = Math.max(before.right, right);
      continue;
    }
    const y = (tops.get(track) ?? 0) + TRACK_HEIGHT / 2;
    const mark = { item, items: [item], shape, x, right, y, height, level };
    last.set(key, mark);
    marks.push(mark);
  }
  return marks.sort((one, other) => one.level - other.level);
}

/**
 * The health of each service over time; an error in a log counts from its first line until it is gone.
 * @param {Map<string, Item[]>} health changes of health and errors, by service
 * @param {Set<string>} broken
 * @param {Map<string, number>} tops
 * @param {Range} range @param {number} width @param {number} now
 * @returns {Band[]}
 */
function bandsOf(health, broken, tops, range, width, now) {
  /** @type {Band[]} */
  const bands = [];
  for (const [service, all] of health) {
    const top = tops.get(service);
    if (top === undefined) continue;
    all.sort((one, other) => one.start - other.start);
    const changes = all.filter((change, index) => change.kind === "health" || lasts(all, index, broken.has(service)));
    changes.forEach((change, index) => {
      const end = index + 1 < changes.length ? changes[index + 1].start : now;
      if (end < range[0] || change.start > range[1]) return;
      const x = Math.max(toX(range, width, change.start), 0);
      const right = Math.min(toX(range, width, end), width);
      bands.push({ x, right, y: top + TRACK_HEIGHT - 3, tone: change.tone });
    });
  }
  return bands;
}

/** Whether the error at an index lasted until a later change said that it was gone, or lasts. @param {Item[]} changes @param {number} index @param {boolean} isBroken */
function lasts(changes, index, isBroken) {
  const next = changes.slice(index + 1).find((change) => change.kind === "health");
  return next ? next.title === "error gone" : isBroken;
}

/**
 * The mark under the pointer: the uppermost within reach.
 * @param {Mark[]} marks
 * @param {number} x
 * @param {number} y
 * @param {number} [reach] pixels
 * @returns {Mark | null}
 */
export function markAt(marks, x, y, reach = 7) {
  let best = null;
  let bestDistance = Infinity;
  for (const mark of marks) {
    if (Math.abs(y - mark.y) > TRACK_HEIGHT / 2) continue;
    const distance = x < mark.x ? mark.x - x : x > mark.right ? x - mark.right : 0;
    if (distance > reach) continue;
    const rated = distance - mark.level * 1.5;
    if (rated < bestDistance) [best, bestDistance] = [mark, rated];
  }
  return best;
}

/**
 * The item before or after another one in order of time, or the nearest in the track above or below.
 * @param {Mark[]} marks
 * @param {Mark | null} from
 * @param {"ArrowLeft" | "ArrowRight" | "ArrowUp" | "ArrowDown"} key
 * @returns {Mark | null}
 */
export function nextMark(marks, from, key) {
  if (!marks.length) return null;
  const sorted = [...marks].sort((one, other) => one.x - other.x || one.y - other.y);
  if (!from) return key === "ArrowRight" ? sorted[0] : sorted[sorted.length - 1];
  const at = sorted.findIndex((mark) => mark.item.id === from.item.id);
  if (key === "ArrowLeft" || key === "ArrowRight") {
    return sorted[at + (key === "ArrowRight" ? 1 : -1)] ?? from;
  }
  const beyond = sorted.filter((mark) => (key === "ArrowDown" ? mark.y > from.y : mark.y < from.y));
  if (!beyond.length) return from;
  const y = key === "ArrowDown" ? Math.min(...beyond.map((mark) => mark.y)) : Math.max(...beyond.map((mark) => mark.y));
  return beyond.filter((mark) => mark.y === y)
    .reduce((one, other) => (Math.abs(other.x - from.x) < Math.abs(one.x - from.x) ? other : one));
}
