/** The lines of the log: a ring in columns, which keeps the newest lines. Pure. */

import { LEVELS } from "./filter.js";

export const MOST_LINES = 200000;
const LAST_WORDS = /^\s*(?:[\w.$]*(?:Error|Exception|Panic|Warning|Interrupt|Exit)\b|panic:|fatal|thread '.*' panicked|Caused by:)/i;

/**
 * A line as the stream has it: number, time, service, level, text, number of the first line of its traceback or 0, and
 * the colours that the container printed, if any.
 * @typedef {[number, number, string, string, string, number, import("./colours.js").Codes[]?]} Line
 */

/**
 * What is known of a traceback: the number of its lines, and the one that says most.
 * @typedef {{lines: number, title: string}} Group
 */

/** Lines at positions `first` to `end - 1`; a position stays that of its line until lines are put before it. */
export class LineStore {
  /** @param {number} [capacity] */
  constructor(capacity = MOST_LINES) {
    this.capacity = capacity;
    this.first = 0;
    this.end = 0;
    /** @type {string[]} names of services; the column `services` has their indexes */
    this.names = [""];
    this.columns = {
      number: new Float64Array(capacity), at: new Float64Array(capacity), group: new Float64Array(capacity),
      service: new Uint16Array(capacity), level: new Uint8Array(capacity),
      text: /** @type {string[]} */ ([]), low: /** @type {string[]} */ ([]),
      colours: /** @type {(import("./colours.js").Codes[] | undefined)[]} */ ([]),
    };
    /** @type {Map<string, number>} */
    this.indexes = new Map([["", 0]]);
    /** @type {Map<number, Group>} by the number of their first line */
    this.groups = new Map();
    this.dropped = 0; // lines that the ring has lost
  }

  get size() {
    return this.end - this.first;
  }

  /** @param {Line} line */
  add(line) {
    const [number, at, service, level, text, group, colours] = line;
    if (this.size === this.capacity) this.dropFirst();
    const slot = this.end % this.capacity;
    const { columns } = this;
    columns.number[slot] = number;
    columns.at[slot] = at;
    columns.group[slot] = group;
    columns.service[slot] = this.indexOf(service);
    columns.level[slot] = Math.max(LEVELS.indexOf(level), 0);
    columns.text[slot] = text;
    columns.colours[slot] = colours;
    const low = text.toLowerCase();
    columns.low[slot] = low === text ? text : low; // most lines share their text
    this.end += 1;
    if (group) this.addToGroup(group, number, text);
  }

  dropFirst() {
    const number = this.columns.number[this.first % this.capacity];
    this.groups.delete(number);
    this.first += 1;
    this.dropped += 1;
  }

  /** Count a line; the first line of a traceback may have come before it was known as one. @param {number} group @param {number} number @param {string} text */
  addToGroup(group, number, text) {
    const known = this.groups.get(group) ?? { lines: 1, title: "" };
    this.groups.set(group, known);
    if (number === group) return;
    known.lines += 1;
    if (LAST_WORDS.test(text)) known.title = text.trim();
  }

  /** @param {string} service */
  indexOf(service) {
    let index = this.indexes.get(service);
    if (index === undefined) {
      index = this.names.length;
      this.names.push(service);
      this.indexes.set(service, index);
    }
    return index;
  }

  /**
   * The line at a position.
   * @param {number} position
   * @returns {{number: number, at: number, service: string, level: string, text: string, group: number, colours?: import("./colours.js").Codes[]}}
   */
  at(position) {
    const slot = position % this.capacity;
    const { columns } = this;
    const number = columns.number[slot];
    return {
      number, at: columns.at[slot], service: this.names[columns.service[slot]], level: LEVELS[columns.level[slot]],
      text: columns.text[slot], group: columns.group[slot] || (this.groups.has(number) ? number : 0),
      colours: columns.colours[slot],
    };
  }

  /** The number of the last line, or -Infinity. */
  get lastNumber() {
    return this.size ? this.columns.number[(this.end - 1) % this.capacity] : -Infinity;
  }

  /**
   * The position of the line of this number, or of the first line after it; numbers increase.
   * @param {number} number
   */
  positionOf(number) {
    return this.search((slot) => this.columns.number[slot] >= number);
  }

  /**
   * The position of the first line at or after a time; times increase but for small steps back.
   * @param {number} at
   */
  positionAt(at) {
    return this.search((slot) => this.columns.at[slot] >= at);
  }

  /** @param {(slot: number) => boolean} isPast */
  search(isPast) {
    let [low, high] = [this.first, this.end];
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      if (isPast(middle % this.capacity)) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  /** All lines, oldest first. @returns {Line[]} */
  all() {
    /** @type {Line[]} */
    const lines = [];
    for (let position = this.first; position < this.end; position += 1) {
      const line = this.at(position);
      lines.push([line.number, line.at, line.service, line.level, line.text, line.group, line.colours]);
    }
    return lines;
  }
}

/**
 * The store with older lines before its own; their numbers become smaller than that of its first line.
 * @param {LineStore} store
 * @param {Line[]} earlier
 */
export function withEarlier(store, earlier) {
  const joined = new LineStore(store.capacity);
  const own = store.all();
  const room = store.capacity - own.length;
  const kept = room > 0 ? earlier.slice(-room) : [];
  const last = kept.length ? kept[kept.length - 1][0] : 0;
  const shift = own.length && last >= own[0][0] ? last - own[0][0] + 1 : 0;
  for (const [number, at, service, level, text, group, colours] of kept) {
    joined.add([number - shift, at, service, level, text, group ? group - shift : 0, colours]);
  }
  for (const line of own) joined.add(line);
  return joined;
}
