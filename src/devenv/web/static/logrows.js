/** The rows of the log on the screen: a constant number of elements, whatever the number of lines. */

import { colouredPieces } from "./colours.js";
import { make, setAttribute, setText } from "./dom.js";
import { matchPlaces, seeksText } from "./filter.js";
import { cleanText, cutText, formatClock } from "./format.js";
import { LONGEST } from "./rows.js";

export const ROW_HEIGHT = 20;
const SPARE = 6; // rows above and below the visible ones

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
    const height = shown.height * ROW_HEIGHT;
    if (height !== this.height) {
      this.height = height;
      this.space.style.setProperty("height", `${height}px`);
    }
    const visible = Math.ceil(this.scroller.clientHeight / ROW_HEIGHT);
    const first = Math.max(shown.rowAt(this.scroller.scrollTop / ROW_HEIGHT) - SPARE, 0);
    const count = Math.min(visible + 2 * SPARE, shown.length - first);
    while (this.rows.length < count) this.rows.push(this.addRow());
    this.rows.forEach((row, index) => {
      if (index >= count) {
        row.hidden = true;
        return;
      }
      row.hidden = false;
      const top = shown.top(first + index);
      row.style.setProperty("transform", `translateY(${top * ROW_HEIGHT}px)`);
      row.style.setProperty("height", `${(shown.top(first + index + 1) - top) * ROW_HEIGHT}px`);
      this.fill(row, shown, first + index, chosen);
    });
  }

  /** The number of characters that fit beside the name; known once there is a row. */
  charactersPerLine() {
    const probe = make("span", { class: "row-probe unseen", text: "0".repeat(100) });
    this.space.append(probe);
    const character = probe.scrollWidth / 100;
    probe.remove();
    const text = this.rows[0]?.lastElementChild;
    return text && character > 0 ? Math.max(Math.floor(text.clientWidth / character), 10) : 80;
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
    setAttribute(row, "class", `row${line.level ? ` is-${line.level}` : ""}${position === chosen ? " is-chosen" : ""}${isMember ? " is-member" : ""}${isFolded ? " is-folded" : ""}`);
    if (row.dataset.key === key) return;
    row.dataset.key = key;
    row.dataset.position = String(position);
    const [time, name, mark, fold, text] = row.children;
    setText(time, formatClock(line.at, true));
    setText(name, line.service || "devenv");
    setAttribute(name, "class", `row-name ${this.colour(line.service)}`);
    setText(mark, line.level === "error" ? "✕" : line.level === "warn" ? "!" : "");
    fold.replaceChildren();
    if (isFolded) {
      const more = `${group.lines - 1} more line${group.lines === 2 ? "" : "s"}`;
      const title = cutText(group.title, 300);
      text.replaceChildren(...(title ? [make("b", { text: title }), "  "] : []), make("span", { class: title ? "fold-title" : "", text: cutText(line.text, 300) }), make("span", { class: "fold-title", text: ` … ${more}` }));
    } else text.replaceChildren(...this.textParts(shown, line.text, line.colours ?? []));
    if (group !== undefined && group.lines > 1 && !seeksText(shown.filter)) {
      fold.append(make("button", { type: "button", class: "fold", tabindex: "-1", "data-group": String(line.group), "aria-expanded": String(!isFolded), "aria-label": `Traceback of ${group.lines} lines`, text: isFolded ? "▸" : "▾" }));
    }
  }

  /** The text in its colours, or with its matches marked. @param {ShownRows} shown @param {string} whole @param {import("./colours.js").Codes[]} colours @returns {(Node | string)[]} */
  textParts(shown, whole, colours) {
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
    if (!end && colours.length) {
      for (const piece of colouredPieces(text, colours)) parts.push(piece.classes ? make("span", { class: piece.classes, text: piece.text }) : cleanText(piece.text));
    } else parts.push(cleanText(text.slice(end)));
    if (text.length < whole.length) parts.push(make("span", { class: "fold-title", text: ` … ${whole.length - text.length} more characters` }));
    return parts;
  }
}
