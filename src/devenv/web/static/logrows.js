/** The rows of the log on the screen: a constant number of elements, whatever the number of lines. */

import { make, setAttribute, setText } from "./dom.js";
import { matchPlaces, seeksText } from "./filter.js";
import { cleanText, cutText, formatClock } from "./format.js";

export const ROW_HEIGHT = 20;
const SPARE = 6; // rows above and below the visible ones
const LONGEST = 1500; // characters of a line in a row; the chosen line is shown whole

/** @typedef {import("./rows.js").ShownRows} ShownRows */

export class LogRows {
  /**
   * @param {HTMLElement} scroller
   * @param {HTMLElement} space
   * @param {(service: string) => string} colour class of a service's name
   */
  constructor(scroller, space, colour) {
    this.scroller = scroller;
    this.space = space;
    this.colour = colour;
    /** @type {HTMLElement[]} */
    this.rows = [];
    this.height = -1;
  }

  /** Draw what is visible. @param {ShownRows} shown @param {number | null} chosen position of the chosen line */
  render(shown, chosen) {
    const height = shown.length * ROW_HEIGHT;
    if (height !== this.height) {
      this.height = height;
      this.space.style.setProperty("height", `${height}px`);
    }
    const visible = Math.ceil(this.scroller.clientHeight / ROW_HEIGHT);
    const first = Math.max(Math.floor(this.scroller.scrollTop / ROW_HEIGHT) - SPARE, 0);
    const count = Math.min(visible + 2 * SPARE, shown.length - first);
    while (this.rows.length < count) this.rows.push(this.addRow());
    this.rows.forEach((row, index) => {
      if (index >= count) {
        row.hidden = true;
        return;
      }
      row.hidden = false;
      row.style.setProperty("transform", `translateY(${(first + index) * ROW_HEIGHT}px)`);
      this.fill(row, shown, first + index, chosen);
    });
  }

  addRow() {
    const row = make("div", { class: "row" }, make("span", { class: "row-time" }), make("span", { class: "row-name" }), make("span", { class: "row-mark" }), make("span", { class: "row-fold" }), make("span", { class: "row-text" }));
    this.space.append(row);
    return row;
  }

  /** @param {HTMLElement} row @param {ShownRows} shown @param {number} index @param {number | null} chosen */
  fill(row, shown, index, chosen) {
    const position = shown.position(index);
    const line = shown.store.at(position);
    const group = line.group === line.number ? shown.store.groups.get(line.group) : undefined;
    const isFolded = group !== undefined && group.lines > 1 && !shown.unfolded.has(line.group) && !seeksText(shown.filter);
    const key = `${position} ${line.number} ${shown.version} ${group?.lines ?? 0} ${isFolded} ${this.colour(line.service)}`;
    const isMember = line.group !== 0 && line.group !== line.number;
    setAttribute(row, "class", `row${line.level ? ` is-${line.level}` : ""}${position === chosen ? " is-chosen" : ""}${isMember ? " is-member" : ""}`);
    if (row.dataset.key === key) return;
    row.dataset.key = key;
    row.dataset.position = String(position);
    const [time, name, mark, fold, text] = row.children;
    setText(time, formatClock(line.at, true));
    setText(name, line.service || "devenv");
    setAttribute(name, "class", `row-name ${this.colour(line.service)}`);
    setText(mark, line.level === "error" ? "✕" : line.level === "warn" ? "!" : "");
    text.replaceChildren(...this.textParts(shown, line.text));
    fold.replaceChildren();
    if (group !== undefined && group.lines > 1 && !seeksText(shown.filter)) {
      fold.append(make("button", { type: "button", class: "fold", tabindex: "-1", "data-group": String(line.group), "aria-expanded": String(!isFolded), "aria-label": `Traceback of ${group.lines} lines`, text: isFolded ? "▸" : "▾" }));
      if (isFolded) text.append(make("span", { class: "fold-title", text: ` … ${group.lines - 1} more line${group.lines === 2 ? "" : "s"}` }), make("b", { text: ` ${cutText(group.title, 300)}` }));
    }
  }

  /** The text with its matches marked. @param {ShownRows} shown @param {string} whole @returns {(Node | string)[]} */
  textParts(shown, whole) {
    const text = cutText(whole, LONGEST);
    /** @type {(Node | string)[]} */
    const parts = [];
    let end = 0;
    if (seeksText(shown.filter)) {
      for (const [begin, until] of matchPlaces(shown.filter, text)) {
        parts.push(cleanText(text.slice(end, begin)), make("mark", { text: text.slice(begin, until) }));
        end = until;
      }
    }
    parts.push(cleanText(text.slice(end)));
    if (text.length < whole.length) parts.push(make("span", { class: "fold-title", text: ` … ${whole.length - text.length} more characters` }));
    return parts;
  }
}
