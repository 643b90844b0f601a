/** Which lines of a store the log shows: those that a filter takes, without the folded ones. Pure. */

import { LEVELS, matchesService, matchesText, seeksText } from "./filter.js";

const ERROR = LEVELS.indexOf("error");
const FURTHEST = 2000; // lines of others among those of a traceback
const MOST_LOST = 50000; // entries of lost lines that are kept
export const LONGEST = 1500; // characters of a line in a row; the chosen line is shown whole
const MORE = 30; // characters that say how many more there are
const TAB = 4;

/** @typedef {import("./filter.js").Filter} Filter */
/** @typedef {import("./lines.js").LineStore} LineStore */

/**
 * The positions of the lines that are shown, and their heights. Each call of `update` looks at new lines only.
 * A height is a number of screen lines: 1, or more if long lines are wrapped.
 */
export class ShownRows {
  /** @param {LineStore} store @param {Filter} filter @param {Set<number>} unfolded numbers of unfolded tracebacks @param {number} [width] characters after which a line is wrapped */
  constructor(store, filter, unfolded, width = Infinity) {
    this.store = store;
    this.filter = filter;
    this.unfolded = unfolded;
    this.width = width;
    /** @type {number[]} */
    this.positions = [];
    /** @type {number[]} the height up to and with each entry of `positions` */
    this.ends = [];
    this.begin = 0; // entries before it are of lines that the ring has lost
    this.lost = 0; // their height
    this.next = store.first;
    this.version = 0; // of the filter
    /** @type {boolean[]} by the store's index of the service */
    this.services = [];
  }

  get length() {
    return this.positions.length - this.begin;
  }

  /** The height of all rows. */
  get height() {
    return this.length ? this.ends[this.ends.length - 1] - this.lost : 0;
  }

  /** The position in the store of a row. @param {number} row */
  position(row) {
    return this.positions[this.begin + row];
  }

  /** The height of all rows before this one. @param {number} row */
  top(row) {
    return row > 0 ? this.ends[this.begin + row - 1] - this.lost : 0;
  }

  /** The row at a height. @param {number} height */
  rowAt(height) {
    return Math.max(this.search((index) => this.ends[index] > height + this.lost), 0);
  }

  /** The row of a position, or of the next line that is shown. @param {number} position */
  rowOf(position) {
    return this.search((index) => this.positions[index] >= position);
  }

  /** @param {(index: number) => boolean} isPast */
  search(isPast) {
    let [low, high] = [this.begin, this.positions.length];
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      if (isPast(middle)) high = middle;
      else low = middle + 1;
    }
    return low - this.begin;
  }

  /** Start again with another filter or another set of unfolded tracebacks. @param {Filter} filter */
  reset(filter) {
    this.filter = filter;
    this.positions = [];
    this.ends = [];
    this.begin = 0;
    this.lost = 0;
    this.next = this.store.first;
    this.version += 1;
    this.services = [];
    this.update();
  }

  /** Wrap lines after another number of characters. @param {number} width */
  wrap(width) {
    if (width === this.width) return;
    this.width = width;
    let end = 0;
    this.positions = this.positions.slice(this.begin);
    this.ends = this.positions.map((position) => (end += this.heightOf(position)));
    this.begin = 0;
    this.lost = 0;
    this.version += 1;
  }

  /** Take new lines in and lost ones out. @returns {number} the height of the rows that left at the beginning */
  update() {
    const { store, filter, positions, ends } = this;
    const before = this.lost;
    while (this.begin < positions.length && positions[this.begin] < store.first) {
      this.lost = ends[this.begin];
      this.begin += 1;
    }
    if (this.begin > MOST_LOST) {
      positions.splice(0, this.begin);
      ends.splice(0, this.begin);
      this.begin = 0;
    }
    const isOpen = !seeksText(filter);
    let end = ends.length ? ends[ends.length - 1] : this.lost;
    for (let position = Math.max(this.next, store.first); position < store.end; position += 1) {
      if (!this.takes(position, isOpen)) continue;
      positions.push(position);
      ends.push((end += this.heightOf(position)));
    }
    this.next = store.end;
    return this.lost - before;
  }

  /** @param {number} position */
  heightOf(position) {
    if (this.width === Infinity) return 1;
    const slot = position % this.store.capacity;
    const number = this.store.columns.number[slot];
    if (this.store.groups.has(number) && !this.unfolded.has(number) && !seeksText(this.filter)) return 1;
    return Math.max(Math.ceil(textWidth(this.store.columns.text[slot]) / this.width), 1);
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

/** The width of a line in characters, as far as a row shows it. @param {string} text */
export function textWidth(text) {
  const shown = text.length > LONGEST ? LONGEST + MORE : text.length;
  if (!/[\t\u1100-\uffff]/.test(text)) return shown;
  let width = shown;
  for (const character of text.slice(0, LONGEST)) {
    if (character === "\t") width += TAB - 1;
    else if (/[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60]/.test(character)) width += 1;
  }
  return width;
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
