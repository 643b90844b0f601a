/** Which lines of a store the log shows: those that a filter takes, without the folded ones. Pure. */

import { LEVELS, matchesService, matchesText, seeksText } from "./filter.js";

const ERROR = LEVELS.indexOf("error");
const FURTHEST = 2000; // lines of others among those of a traceback

/** @typedef {import("./filter.js").Filter} Filter */
/** @typedef {import("./lines.js").LineStore} LineStore */

/** The positions of the lines that are shown. Each call of `update` looks at new lines only. */
export class ShownRows {
  /** @param {LineStore} store @param {Filter} filter @param {Set<number>} unfolded numbers of unfolded tracebacks */
  constructor(store, filter, unfolded) {
    this.store = store;
    this.filter = filter;
    this.unfolded = unfolded;
    /** @type {number[]} */
    this.positions = [];
    this.begin = 0; // entries before it are of lines that the ring has lost
    this.next = store.first;
    this.version = 0; // of the filter
    /** @type {boolean[]} by the store's index of the service */
    this.services = [];
  }

  get length() {
    return this.positions.length - this.begin;
  }

  /** The position in the store of a row. @param {number} row */
  position(row) {
    return this.positions[this.begin + row];
  }

  /** Start again with another filter or another set of unfolded tracebacks. @param {Filter} filter */
  reset(filter) {
    this.filter = filter;
    this.positions = [];
    this.begin = 0;
    this.next = this.store.first;
    this.version += 1;
    this.services = [];
    this.update();
  }

  /** Take new lines in and lost ones out. @returns {number} the number of rows that left at the beginning */
  update() {
    const { store, filter, positions } = this;
    const before = this.begin;
    while (this.begin < positions.length && positions[this.begin] < store.first) this.begin += 1;
    const left = this.begin - before;
    if (this.begin > 50000) {
      positions.splice(0, this.begin);
      this.begin = 0;
    }
    const isOpen = !seeksText(filter);
    for (let position = Math.max(this.next, store.first); position < store.end; position += 1) {
      if (this.takes(position, isOpen)) positions.push(position);
    }
    this.next = store.end;
    return left;
  }

  /** @param {number} position @param {boolean} isOpen whether no text is sought: then tracebacks are folded */
  takes(position, isOpen) {
    const { store, filter } = this;
    const slot = position % store.capacity;
    const { columns } = store;
    if (columns.level[slot] < filter.level) return false;
    if (!this.takesService(columns.service[slot])) return false;
    if (filter.range && (columns.at[slot] < filter.range[0] || columns.at[slot] > filter.range[1])) return false;
    if (!isOpen) return matchesText(filter, columns.text[slot], columns.low[slot]);
    const group = columns.group[slot];
    return group === 0 || group === columns.number[slot] || this.unfolded.has(group) || !store.groups.has(group);
  }

  /** @param {number} index */
  takesService(index) {
    let taken = this.services[index];
    if (taken === undefined) {
      taken = matchesService(this.filter, this.store.names[index]);
      this.services[index] = taken;
    }
    return taken;
  }

  /** The row of a position, or of the next line that is shown. @param {number} position */
  rowOf(position) {
    let [low, high] = [this.begin, this.positions.length];
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      if (this.positions[middle] >= position) high = middle;
      else low = middle + 1;
    }
    return low - this.begin;
  }

  /**
   * The text of all lines that the filter takes, folded ones too: what is copied and downloaded.
   * @param {(line: ReturnType<LineStore["at"]>) => string} format
   */
  texts(format) {
    const all = new Set(this.store.groups.keys());
    const flat = new ShownRows(this.store, this.filter, all);
    flat.update();
    return flat.positions.map((position) => format(this.store.at(position)));
  }
}

/**
 * All lines of a traceback, or of a single line, as one text.
 * @param {LineStore} store
 * @param {number} position of its first line
 */
export function wholeText(store, position) {
  const { number, text } = store.at(position);
  const texts = [text];
  const count = store.groups.get(number)?.lines ?? 1;
  for (let next = position + 1; next < store.end && next < position + FURTHEST && texts.length < count; next += 1) {
    if (store.columns.group[next % store.capacity] === number) texts.push(store.at(next).text);
  }
  return texts.join("\n");
}

/**
 * The row of the next error after a row, or before it; null if there is none. Of a traceback, the first line counts.
 * @param {ShownRows} shown
 * @param {number} from
 * @param {1 | -1} step
 */
export function nextError(shown, from, step) {
  const { columns, capacity } = shown.store;
  const seeks = seeksText(shown.filter);
  for (let row = from + step; row >= 0 && row < shown.length; row += step) {
    const slot = shown.position(row) % capacity;
    const begins = columns.group[slot] === 0 || columns.group[slot] === columns.number[slot];
    if (columns.level[slot] === ERROR && (begins || seeks)) return row;
  }
  return null;
}
