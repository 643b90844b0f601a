/** The timeline: what happened, by service and time; zoom, pan, selection of a time or an event. */

import { chainOf } from "./causes.js";
import { byId, make, setText } from "./dom.js";
import { AXIS_HEIGHT, drawTimeline, Palette } from "./drawing.js";
import { counted, formatClock, formatDuration, someOf } from "./format.js";
import { isBroken } from "./model.js";
import { ordered, panRange, toTime, withinLimits, zoomRange } from "./scale.js";
import { colourClass } from "./services.js";
import { layoutTracks, markAt, nextMark } from "./tracks.js";

const SPANS = /** @type {[string, number][]} */ ([["1 min", 60000], ["5 min", 300000], ["30 min", 1800000], ["All", Infinity]]);
const MANY_TRACKS = 12; // of more, those without events in the time shown are hidden
const CLICK = 4; // pixels that a click may move
const LEAST = 20000; // milliseconds that the timeline shows of a run that has just begun
const AHEAD = 0.02; // share of the time shown that lies after now
const LEGEND = ["save", "sync", "exec", "restart", "rebuild", "health", "error"];

/** @typedef {import("./model.js").Model} Model */
/** @typedef {import("./scale.js").Range} Range */
/** @typedef {import("./causes.js").Item} Item */
/** @typedef {{onItem: (item: Item | null) => void, onRange: (range: Range | null) => void, onMoment: (at: number) => void, now: () => number}} TimelineHandlers */

export class Timeline {
  /** @param {Model} model @param {TimelineHandlers} handlers */
  constructor(model, handlers) {
    this.model = model;
    this.handlers = handlers;
    this.palette = new Palette();
    this.scroller = byId("tracks-scroll");
    this.canvas = byId("tracks");
    this.view = { range: /** @type {Range} */ ([0, 1]), span: SPANS[1][1], isLive: true };
    this.chosen = /** @type {Item | null} */ (null);
    this.chain = /** @type {Item[]} */ ([]);
    this.selection = /** @type {Range | null} */ (null);
    this.moment = /** @type {number | null} */ (null);
    this.hovered = /** @type {import("./tracks.js").Mark | null} */ (null);
    this.drag = /** @type {{x: number, at: number, range: Range, isPan: boolean, isMoved: boolean} | null} */ (null);
    this.layout = layoutTracks({ items: [], services: [], range: [0, 1], width: 1, now: 0 });
    this.left = 100;
    this.makeControls();
    this.listen();
  }

  makeControls() {
    byId("spans").replaceChildren(...SPANS.map(([label, span]) => make("button", {
      type: "button", text: label, "data-span": String(span), on: { click: () => this.showLast(span) },
    })));
    byId("legend").replaceChildren(...LEGEND.map((kind) => make("li", {}, make("span", { class: `swatch shape-${kind} ink-${kind === "health" ? "good" : kind === "error" ? "bad" : kind}`, "aria-hidden": "true" }), kind)));
  }

  /** Show the last minutes, and follow the time. @param {number} span milliseconds, or Infinity for all */
  showLast(span) {
    this.view = { ...this.view, span, isLive: true };
    this.render();
  }

  /** Show a range and stop following the time. @param {Range} range */
  showRange(range) {
    this.view = { ...this.view, range: withinLimits(range, this.limits()), isLive: false };
    this.render();
  }

  /** The longest range: the whole run. @returns {Range} */
  limits() {
    const now = this.handlers.now();
    const begin = Math.min(this.model.hello?.startedAt ?? now, now - LEAST, ...this.firstTime());
    return [begin - 500, now + (now - begin) * AHEAD];
  }

  firstTime() {
    for (const item of this.model.items.values()) return [item.start];
    return [];
  }

  get isVisible() {
    return !byId("events").hidden;
  }

  render() {
    const now = this.handlers.now();
    if (this.view.isLive) {
      const [begin, end] = this.limits();
      const { span } = this.view;
      this.view.range = span >= end - begin ? [begin, end] : [now - span * (1 - AHEAD), now + span * AHEAD];
    }
    for (const button of byId("spans").children) {
      button.setAttribute("aria-pressed", String(this.view.isLive && button.dataset.span === String(this.view.span)));
    }
    const width = this.scroller.clientWidth;
    if (!this.isVisible || width === 0) return;
    this.left = width < 520 ? 72 : 112;
    this.layout = layoutTracks({
      items: this.model.items.values(), services: this.shownServices(), range: this.view.range, width: width - this.left, now,
      broken: new Set(this.model.services.filter(isBroken).map((service) => service.name)),
    });
    const [shown, all] = [this.layout.tracks.length - 1, this.model.services.length];
    setText(byId("hidden-tracks"), shown < all ? `${shown} of ${counted(all, "service")}` : "");
    byId("tracks-space").style.setProperty("height", `${this.layout.height + AXIS_HEIGHT}px`);
    this.scroller.style.setProperty("--wanted", `${this.layout.height + AXIS_HEIGHT + 1}px`);
    this.scroller.style.setProperty("--seen", `${this.scroller.clientHeight}px`);
    drawTimeline(this.canvas, this.palette, {
      range: this.view.range, layout: this.layout, width, height: this.scroller.clientHeight, left: this.left,
      scroll: this.scroller.scrollTop, now, chain: new Set(this.chain.map((item) => item.id)), chosen: this.chosen?.id ?? null,
      hovered: this.hovered, selection: this.selection, moment: this.moment, labelInk: (name) => colourClass(this.model, name) || "text",
    });
  }

  shownServices() {
    const names = this.model.services.map((service) => service.name);
    if (names.length <= MANY_TRACKS) return names;
    const [begin, end] = this.view.range;
    const active = new Set(this.chain.map((item) => item.service));
    for (const item of this.model.items.values()) {
      if (item.start <= end && (item.end ?? Infinity) >= begin) active.add(item.service);
    }
    return names.filter((name) => active.has(name));
  }

  /** Choose an item and show its causes and effects. @param {Item | null} item */
  choose(item) {
    this.chosen = item;
    this.chain = item ? chainOf(this.model.items, item) : [];
    if (item) {
      this.moment = null;
      const [begin, end] = this.view.range;
      const span = spanOf(this.chain);
      if (span[0] < begin || span[1] > end) this.zoomTo(this.chain);
      setText(byId("tracks-announcer"), this.describe(item));
    }
    this.render();
  }

  /** Show the time of these items, with some time around. @param {Item[]} items */
  zoomTo(items) {
    if (!items.length) return;
    const [begin, end] = spanOf(items);
    const margin = Math.max((end - begin) * 0.25, 400);
    this.showRange([begin - margin, end + margin]);
  }

  /** Zoom to the selected time, or to the chosen event with its causes and effects. */
  zoomToChoice() {
    if (this.selection) this.showRange(this.selection);
    else this.zoomTo(this.chain);
  }

  /** Follow the time again, as before. */
  resume() {
    this.view.isLive = true;
    this.render();
  }

  /** @param {Item} item */
  describe(item) {
    return [formatClock(item.start), item.service, item.kind, item.title, item.detail].filter(Boolean).join(", ");
  }

  /** Take over what has changed about the chosen item; it is no longer chosen if it is gone. */
  refreshChoice() {
    if (!this.chosen) return;
    const item = this.model.items.get(this.chosen.id);
    const isSame = item !== undefined && item.kind === this.chosen.kind && item.start === this.chosen.start;
    this.chosen = isSame ? item : null;
    this.chain = isSame ? chainOf(this.model.items, item) : [];
  }

  /** @param {Range | null} range */
  select(range) {
    this.selection = range;
    this.render();
  }

  /** Mark a moment, and bring it into view. @param {number | null} at */
  mark(at) {
    this.moment = at;
    const [begin, end] = this.view.range;
    if (at !== null && (at < begin || at > end)) this.showRange([at - (end - begin) / 2, at + (end - begin) / 2]);
    else this.render();
  }

  /** Zoom about the chosen item, the moment or the middle. @param {number} factor @param {number} [about] */
  zoom(factor, about) {
    const { range } = this.view;
    const middle = about ?? this.chosen?.start ?? (range[0] + range[1]) / 2;
    const within = Math.min(Math.max(middle, range[0]), range[1]);
    this.view = { ...this.view, range: zoomRange(range, factor, within, this.limits()), isLive: false };
    this.render();
  }

  /** @param {number} by share of the time shown */
  pan(by) {
    const { range } = this.view;
    this.view = { ...this.view, range: panRange(range, by * (range[1] - range[0]), this.limits()), isLive: false };
    this.render();
  }

  listen() {
    const { scroller } = this;
    scroller.addEventListener("wheel", (/** @type {WheelEvent} */ event) => this.onWheel(event), { passive: false });
    scroller.addEventListener("scroll", () => this.render());
    scroller.addEventListener("pointerdown", (/** @type {PointerEvent} */ event) => this.onDown(event));
    scroller.addEventListener("pointermove", (/** @type {PointerEvent} */ event) => this.onMove(event));
    scroller.addEventListener("pointerup", (/** @type {PointerEvent} */ event) => this.onUp(event));
    scroller.addEventListener("pointercancel", () => {
      this.drag = null;
    });
    scroller.addEventListener("pointerleave", () => this.hover(null, 0, 0));
    scroller.addEventListener("keydown", (/** @type {KeyboardEvent} */ event) => this.onKey(event));
    new ResizeObserver(() => this.render()).observe(scroller);
  }

  /** @param {MouseEvent} event */
  place(event) {
    const box = this.scroller.getBoundingClientRect();
    const x = event.clientX - box.left - this.left;
    const width = this.scroller.clientWidth - this.left;
    return { x, y: event.clientY - box.top - AXIS_HEIGHT + this.scroller.scrollTop, at: toTime(this.view.range, width, x), width };
  }

  /** @param {WheelEvent} event */
  onWheel(event) {
    const { at } = this.place(event);
    const across = event.shiftKey ? event.deltaY || event.deltaX : event.deltaX;
    if (Math.abs(across) > Math.abs(event.shiftKey ? 0 : event.deltaY)) this.pan(across / 800);
    else if (event.ctrlKey || event.metaKey || !this.scrollsBelow()) this.zoom(Math.exp(Math.max(Math.min(event.deltaY, 120), -120) / 300), at);
    else return;
    event.preventDefault();
  }

  /** Whether the wheel scrolls the tracks or the page, and does not zoom. */
  scrollsBelow() {
    const page = document.scrollingElement;
    return this.scroller.scrollHeight > this.scroller.clientHeight + 1 || (page !== null && page.scrollHeight > page.clientHeight + 1);
  }

  /** @param {PointerEvent} event */
  onDown(event) {
    if (event.button !== 0) return;
    const { x, at } = this.place(event);
    if (x < 0) return;
    this.scroller.setPointerCapture(event.pointerId);
    this.drag = { x, at, range: this.view.range, isPan: event.shiftKey, isMoved: false };
  }

  /** @param {PointerEvent} event */
  onMove(event) {
    const { x, y, at, width } = this.place(event);
    const { drag } = this;
    if (!drag) {
      this.hover(x < 0 ? null : markAt(this.layout.marks, x, y), event.clientX, event.clientY);
      return;
    }
    if (Math.abs(x - drag.x) > CLICK) drag.isMoved = true;
    if (!drag.isMoved) return;
    this.hover(null, 0, 0);
    if (drag.isPan) {
      const by = ((drag.x - x) / width) * (drag.range[1] - drag.range[0]);
      this.view = { ...this.view, range: panRange(drag.range, by, this.limits()), isLive: false };
    } else {
      this.view.isLive = false;
      this.selection = ordered(drag.at, at);
    }
    this.render();
  }

  /** @param {PointerEvent} event */
  onUp(event) {
    const { drag } = this;
    this.drag = null;
    if (!drag || (drag.isMoved && drag.isPan)) return;
    const { x, y, at } = this.place(event);
    if (drag.isMoved) {
      this.handlers.onRange(this.selection);
      return;
    }
    const mark = markAt(this.layout.marks, x, y);
    this.handlers.onItem(mark ? mark.item : null);
    if (!mark) this.handlers.onMoment(at);
  }

  /** @param {import("./tracks.js").Mark | null} mark @param {number} clientX @param {number} clientY */
  hover(mark, clientX, clientY) {
    const tooltip = byId("tooltip");
    if (mark === null && this.hovered === null) return;
    if (mark !== this.hovered) {
      this.hovered = mark;
      this.scroller.classList.toggle("is-over-mark", mark !== null);
      this.render();
      tooltip.hidden = mark === null;
      if (mark) tooltip.replaceChildren(...tooltipOf(mark.items, this.handlers.now()));
    }
    if (!mark) return;
    const room = document.documentElement.clientWidth - 340;
    tooltip.style.setProperty("left", `${Math.max(Math.min(clientX + 14, room), 8)}px`);
    tooltip.style.setProperty("top", `${clientY + 16}px`);
  }

  /** @param {KeyboardEvent} event */
  onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { key } = event;
    if (key === "+" || key === "=") this.zoom(0.6);
    else if (key === "-") this.zoom(1 / 0.6);
    else if (key === "0") this.showLast(Infinity);
    else if (key.startsWith("Arrow") && event.shiftKey) this.pan(key === "ArrowLeft" ? -0.2 : key === "ArrowRight" ? 0.2 : 0);
    else if (key.startsWith("Arrow")) {
      const from = this.layout.marks.find((mark) => mark.items.some((item) => item.id === this.chosen?.id)) ?? null;
      const next = nextMark(this.layout.marks, from, /** @type {any} */ (key));
      if (next) this.handlers.onItem(next.item);
      this.reveal(next?.y ?? 0);
    } else if (key === "Enter" && this.chosen) this.handlers.onMoment(this.chosen.start);
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  /** Scroll until a track can be seen. @param {number} y */
  reveal(y) {
    const room = this.scroller.clientHeight - AXIS_HEIGHT;
    if (y < this.scroller.scrollTop || y > this.scroller.scrollTop + room) this.scroller.scrollTop = y - room / 2;
  }
}

/** The time from the first begin to the last end. @param {Item[]} items @returns {Range} */
function spanOf(items) {
  const times = items.flatMap((item) => [item.start, item.kind === "error" ? item.start : item.end ?? item.start]);
  return ordered(Math.min(...times), Math.max(...times));
}

/** @param {Item[]} items @param {number} now */
function tooltipOf(items, now) {
  const item = items[items.length - 1];
  const time = item.end === item.start ? "" : ` · ${formatDuration((item.end ?? now) - item.start)}${item.end === null ? " so far" : ""}`;
  const more = items.length > 1 ? make("p", { class: "note", text: `${items.length} events here; zoom in to see each` }) : null;
  return [
    make("p", {}, make("b", { text: item.title || item.kind }), item.service ? ` ${item.service}` : null),
    item.detail ? make("p", { text: item.detail }) : null,
    item.files.length ? make("p", { class: "files", text: someOf(item.files, 4) }) : null,
    make("p", { class: "note", text: `${formatClock(item.start, true)}${time}` }),
    more,
  ].filter((part) => part !== null);
}
