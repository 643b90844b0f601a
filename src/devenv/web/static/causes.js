/** Which save led to which error: chains of timeline items. Pure. */

const FAILURES = new Set(["error", "problem"]);
const LONGEST_CHAIN = 50; // steps from an item to its first cause

/**
 * An item of the timeline as the stream has it; see `devenv page` in the documentation.
 * @typedef {object} Item
 * @property {string | number} id
 * @property {string} kind save, sync, exec, restart, rebuild, build-step, health, error, problem, reload or start
 * @property {string} service
 * @property {number} start
 * @property {number | null} end null while it runs
 * @property {string} title
 * @property {string} detail
 * @property {string[]} files
 * @property {string} tone
 * @property {string | number | null} cause
 * @property {number | null} line
 */

/** @typedef {Map<string | number, Item>} Items */

/** Whether an item is something that went wrong. @param {Item} item */
export function isFailure(item) {
  return FAILURES.has(item.kind) || (item.tone === "bad" && item.kind !== "save");
}

/** The first cause of an item, often a save; the item itself without one. @param {Items} items @param {Item} item */
export function rootOf(items, item) {
  let root = item;
  for (let step = 0; step < LONGEST_CHAIN && root.cause !== null; step += 1) {
    const cause = items.get(root.cause);
    if (!cause) break;
    root = cause;
  }
  return root;
}

/** The save that led to an item, or null. @param {Items} items @param {Item} item @returns {Item | null} */
export function saveOf(items, item) {
  const root = rootOf(items, item);
  return root.kind === "save" || root.kind === "reload" ? root : null;
}

/**
 * The first cause of an item and all that came of it, in order of time.
 * @param {Items} items
 * @param {Item} item
 * @returns {Item[]}
 */
export function chainOf(items, item) {
  const root = rootOf(items, item);
  /** @type {Map<string | number, Item[]>} */
  const effects = new Map();
  for (const other of items.values()) {
    if (other.cause === null) continue;
    const known = effects.get(other.cause);
    if (known) known.push(other);
    else effects.set(other.cause, [other]);
  }
  const chain = new Set([root]);
  for (const member of chain) for (const effect of effects.get(member.id) ?? []) chain.add(effect);
  return [...chain].sort((one, other) => (one === root ? -1 : other === root ? 1 : one.start - other.start));
}

/** The failures in a chain: its errors and problems, or what else went wrong. @param {Item[]} chain */
export function failuresIn(chain) {
  const errors = chain.filter((item) => FAILURES.has(item.kind));
  return errors.length ? errors : chain.filter(isFailure);
}

/**
 * The newest failure of a service, with the save that led to it.
 * @param {Items} items
 * @param {string} service
 * @returns {{item: Item, save: Item | null} | null}
 */
export function lastFailure(items, service) {
  const failures = [...items.values()].filter((item) => item.service === service && isFailure(item));
  if (!failures.length) return null;
  const last = failures.reduce((one, other) => (other.start >= one.start ? other : one));
  const root = rootOf(items, last);
  const errors = failures.filter((item) => item.kind === "error" && rootOf(items, item) === root);
  const item = errors.length ? errors[errors.length - 1] : last; // an error says more than the health that it led to
  return { item, save: saveOf(items, item) };
}
