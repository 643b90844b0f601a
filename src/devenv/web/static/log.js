/** The log: filter, rows, tracebacks, the chosen line, earlier lines and those of the last run. */

import { byId, make, setAttribute, setText } from "./dom.js";
import { isOpen, parseFilter, seeksText } from "./filter.js";
import { cleanText, formatClock, formatCount } from "./format.js";
import { LogRows, ROW_HEIGHT } from "./logrows.js";
import { nextError, ShownRows, wholeText } from "./rows.js";

const LEVEL_NAMES = ["All", "Warnings", "Errors"];

/** @typedef {import("./lines.js").LineStore} LineStore */
/** @typedef {{colour: (service: string) => string, onLine: (line: ReturnType<LineStore["at"]> | null) => void, onOnly: (service: string) => void, onRange: (range: [number, number] | null) => void}} LogHandlers */

export class LogPanel {
  /** @param {LineStore} store @param {LogHandlers} handlers */
  constructor(store, handlers) {
    this.handlers = handlers;
    this.scroller = byId("log-scroll");
    this.search = byId("search");
    this.chosen = /** @type {number | null} */ (null); // a position in the store
    this.names = 0; // characters of the longest name of a service
    this.follows = true;
    this.choices = { only: "", level: 0, range: /** @type {[number, number] | null} */ (null) };
    this.wraps = matchMedia("(width < 900px)").matches;
    this.unfolded = /** @type {Set<number>} */ (new Set());
    this.rows = new LogRows(this.scroller, byId("log-space"), handlers.colour);
    this.shown = new ShownRows(store, parseFilter(""), this.unfolded);
    this.makeControls();
    this.listen();
  }

  makeControls() {
    byId("levels").replaceChildren(...LEVEL_NAMES.map((name, level) => make("button", {
      type: "button", text: name, on: { click: () => this.setChoices({ level }) },
    })));
    this.showChoices();
  }

  listen() {
    const { scroller } = this;
    this.search.addEventListener("input", () => this.applyFilter());
    scroller.addEventListener("scroll", () => {
      this.follows = scroller.scrollTop + scroller.clientHeight >= scroller.scrollHeight - ROW_HEIGHT;
      this.draw();
    });
    scroller.addEventListener("click", (/** @type {MouseEvent} */ event) => this.onClick(event));
    scroller.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => this.onKey(event));
    byId("follow").addEventListener("click", () => this.setFollow(!this.follows));
    byId("wrap").addEventListener("click", () => this.setWrap(!this.wraps));
    new ResizeObserver(() => this.setWrap(this.wraps)).observe(scroller);
  }

  /** Show another store: the joined one, or that of the last run. @param {LineStore} store */
  setStore(store) {
    const before = this.shown.store;
    const anchor = this.follows || !before.size || !this.shown.length ? null : this.firstVisible();
    const number = anchor === null ? null : before.at(anchor).number;
    this.shown = new ShownRows(store, this.shown.filter, this.unfolded, this.shown.width);
    this.choose(null);
    this.shown.update();
    this.draw();
    if (number !== null) this.scrollTo(store.positionOf(number), "start");
  }

  /** Take new lines in and draw. */
  render() {
    const names = Math.max(6, ...this.shown.store.names.map((name) => name.length));
    const left = this.shown.update();
    if (left && !this.follows) this.scroller.scrollTop -= left * ROW_HEIGHT;
    if (this.chosen !== null && this.chosen < this.shown.store.first) this.choose(null);
    this.draw();
    if (names === this.names) return;
    this.names = names;
    this.scroller.style.setProperty("--names", String(Math.min(names, 20)));
    this.setWrap(this.wraps);
  }

  draw() {
    this.rows.render(this.shown, this.chosen);
    if (this.follows) this.toEnd();
    const { length, filter, store } = this.shown;
    setText(byId("matches"), isOpen(filter) ? `${formatCount(store.size)} lines` : `${formatCount(length)} of ${formatCount(store.size)}`);
    const follow = byId("follow");
    setAttribute(follow, "aria-pressed", String(this.follows));
    setText(follow, this.follows ? "Following" : "Follow");
    const empty = byId("log-empty");
    empty.hidden = length > 0;
    setText(empty, store.size ? "No line matches the filter." : "No lines yet.");
  }

  toEnd() {
    const end = this.scroller.scrollHeight - this.scroller.clientHeight;
    if (Math.abs(this.scroller.scrollTop - end) < 1) return;
    this.scroller.scrollTop = end;
    this.rows.render(this.shown, this.chosen);
  }

  /** @param {boolean} follows */
  setFollow(follows) {
    this.follows = follows;
    this.draw();
  }

  /** Wrap long lines, or cut them; the first visible line stays. @param {boolean} wraps */
  setWrap(wraps) {
    const anchor = this.follows || !this.shown.length ? null : this.firstVisible();
    this.wraps = wraps;
    this.scroller.classList.toggle("is-wrapped", wraps);
    setAttribute(byId("wrap"), "aria-pressed", String(wraps));
    this.shown.wrap(wraps ? this.rows.charactersPerLine() : Infinity);
    if (anchor !== null) this.scroller.scrollTop = this.shown.top(this.shown.rowOf(anchor)) * ROW_HEIGHT;
    this.draw();
  }

  /** @param {Partial<LogPanel["choices"]>} change */
  setChoices(change) {
    Object.assign(this.choices, change);
    this.applyFilter();
  }

  /** Filter again, and keep the chosen or the first visible line in view. */
  applyFilter() {
    const anchor = this.chosen ?? (this.follows || !this.shown.length ? null : this.firstVisible());
    const filter = parseFilter(this.search.value, this.choices);
    setText(byId("search-fault"), filter.fault);
    setAttribute(this.search, "aria-invalid", filter.fault ? "true" : null);
    if (!filter.fault) this.shown.reset(filter);
    this.showChoices();
    this.draw();
    if (anchor !== null) this.scrollTo(anchor, "nearest");
  }

  showChoices() {
    [...byId("levels").children].forEach((button, level) => setAttribute(button, "aria-pressed", String(level === this.choices.level)));
    const { only, range } = this.choices;
    const chips = [];
    if (only) chips.push(chip(only, `Show all services, not ${only} alone`, () => this.handlers.onOnly("")));
    if (range) chips.push(chip(`${formatClock(range[0])} – ${formatClock(range[1])}`, "Show all times", () => this.handlers.onRange(null)));
    byId("chips").replaceChildren(...chips);
  }

  /** The position of the first line that can be seen. */
  firstVisible() {
    return this.shown.position(Math.min(this.shown.rowAt(this.scroller.scrollTop / ROW_HEIGHT), this.shown.length - 1));
  }

  /** Scroll to a position. @param {number} position @param {"start" | "center" | "nearest"} where */
  scrollTo(position, where) {
    const top = this.shown.top(this.shown.rowOf(position)) * ROW_HEIGHT;
    const room = this.scroller.clientHeight;
    const { scrollTop } = this.scroller;
    if (where === "nearest" && top >= scrollTop && top + ROW_HEIGHT <= scrollTop + room) return;
    this.follows = false;
    this.scroller.scrollTop = where === "start" ? top : top - room / 3;
    this.draw();
  }

  /** Choose a line, show all of it, and report it. @param {number | null} position @param {{reports?: boolean, scrolls?: boolean}} [how] */
  choose(position, { reports = true, scrolls = false } = {}) {
    if (position === this.chosen) return;
    this.chosen = position;
    const line = position === null ? null : this.shown.store.at(position);
    this.showLine(position, line);
    if (position !== null && scrolls) {
      this.uncover(position);
      this.scrollTo(position, "center");
    }
    this.draw();
    if (reports) this.handlers.onLine(line);
  }

  /** Make sure that a line is shown: unfold its traceback, and drop a filter that hides it. @param {number} position */
  uncover(position) {
    const { store } = this.shown;
    const isShown = () => this.shown.position(this.shown.rowOf(position)) === position;
    if (isShown()) return;
    const { group } = store.at(position);
    if (group) this.unfolded.add(group);
    this.shown.reset(this.shown.filter);
    if (isShown()) return;
    this.search.value = "";
    this.setChoices({ level: 0 });
    if (!isShown()) this.handlers.onRange(null);
    if (!isShown()) this.handlers.onOnly("");
  }

  /** Choose the line of a number. @param {number} number @returns {boolean} whether the page has this line */
  showNumber(number) {
    const { store } = this.shown;
    const position = store.positionOf(number);
    if (position >= store.end || store.at(position).number !== number) return false;
    const { group } = store.at(position);
    this.choose(group ? Math.max(store.positionOf(group), store.first) : position, { reports: false, scrolls: true });
    return true;
  }

  /** Bring a moment into view. @param {number} at */
  showMoment(at) {
    const { store } = this.shown;
    const position = Math.min(store.positionAt(at), store.end - 1);
    if (position >= store.first) this.scrollTo(position, "center");
  }

  /** Choose the next error that is shown, or the one before; the newest at first, and around. @param {1 | -1} step */
  moveToError(step) {
    const { shown, chosen } = this;
    const end = shown.length;
    const row = chosen === null ? nextError(shown, end, -1) : nextError(shown, shown.rowOf(chosen), step) ?? nextError(shown, step > 0 ? -1 : end, step);
    if (row !== null) this.choose(shown.position(row), { scrolls: true });
  }

  /** @param {MouseEvent} event */
  onClick(event) {
    const target = /** @type {HTMLElement} */ (event.target);
    const fold = /** @type {HTMLElement | null} */ (target.closest("[data-group]"));
    const row = /** @type {HTMLElement | null} */ (target.closest("[data-position]"));
    if (fold) this.toggle(Number(fold.dataset.group));
    else if (row && String(getSelection() ?? "") === "") this.choose(Number(row.dataset.position));
  }

  /** Fold or unfold a traceback. @param {number} group */
  toggle(group) {
    const anchor = this.shown.store.positionOf(group);
    if (!this.unfolded.delete(group)) this.unfolded.add(group);
    this.shown.reset(this.shown.filter);
    if (this.follows && this.unfolded.has(group)) this.follows = false;
    this.draw();
    this.scrollTo(anchor, "nearest");
  }

  /** @param {KeyboardEvent} event */
  onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { shown, chosen } = this;
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (step !== undefined && shown.length) {
      const row = chosen === null ? shown.length : shown.rowOf(chosen);
      const next = shown.position(Math.min(Math.max(row + step, 0), shown.length - 1));
      this.choose(next);
      this.scrollTo(next, "nearest");
    } else if (["ArrowLeft", "ArrowRight"].includes(event.key) && chosen !== null && !seeksText(shown.filter)) {
      const { group } = shown.store.at(chosen);
      if (group && this.unfolded.has(group) === (event.key === "ArrowLeft")) this.toggle(group);
    } else if (event.key === "End") this.setFollow(true);
    else if (event.key === "Home") this.scroller.scrollTop = 0;
    else return;
    event.preventDefault();
  }

  /** Show all of a line, or of a folded traceback, below the log. @param {number | null} position @param {ReturnType<LineStore["at"]> | null} line */
  showLine(position, line) {
    const place = byId("line");
    place.hidden = line === null;
    if (!line || position === null) return;
    const text = this.unfolded.has(line.group) ? line.text : wholeText(this.shown.store, position);
    const copy = () => navigator.clipboard?.writeText(text.split("\n").map(cleanText).join("\n"));
    place.replaceChildren(
      make("div", { class: "line-head" },
        make("span", { class: "note", text: `${formatClock(line.at, true)} ${line.service || "devenv"}` }),
        make("button", { type: "button", class: "quiet", text: "Copy", on: { click: copy } }),
        make("button", { type: "button", class: "quiet", text: "×", "aria-label": "Close the line", on: { click: () => this.choose(null) } })),
      make("pre", { class: "line-text", tabindex: "0" }, ...text.split("\n").flatMap((part, index) => (index ? [document.createTextNode("\n"), part] : [part]))),
    );
  }

  /** The lines that the filter shows, as text. */
  text() {
    return this.shown.texts((line) => `${new Date(line.at).toISOString()} ${line.service || "devenv"} | ${cleanText(line.text)}`).join("\n");
  }

  /** Clear the filter; whether there was one. */
  clear() {
    const had = this.search.value !== "" || this.choices.level !== 0;
    this.search.value = "";
    if (had) this.setChoices({ level: 0 });
    return had;
  }
}

/** @param {string} text @param {string} label @param {() => void} onClick */
function chip(text, label, onClick) {
  return make("li", {}, make("button", { type: "button", class: "chip", "aria-label": label, title: label, on: { click: onClick } }, text, make("span", { "aria-hidden": "true", text: " ×" })));
}
