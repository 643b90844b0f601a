/** Draws the timeline on its canvas. */

import { timeTicks, toX } from "./scale.js";
import { TRACK_HEIGHT } from "./tracks.js";

export const AXIS_HEIGHT = 22;
const TICK_EVERY = 90; // pixels

/** @typedef {import("./tracks.js").Mark} Mark */

/** Colours by name: those of elements with the class `ink-NAME`, as the style sheet and the scheme give them. */
export class Palette {
  constructor() {
    /** @type {Map<string, string>} */
    this.known = new Map();
  }

  /** Forget all colours: the scheme has changed. */
  reset() {
    this.known.clear();
  }

  /** @param {string} name */
  get(name) {
    let colour = this.known.get(name);
    if (colour === undefined) {
      const probe = document.createElement("i");
      probe.className = `unseen ink-${name}`;
      document.body.append(probe);
      colour = getComputedStyle(probe).color;
      probe.remove();
      this.known.set(name, colour);
    }
    return colour;
  }
}

/**
 * What is drawn.
 * @typedef {object} Picture
 * @property {import("./scale.js").Range} range
 * @property {ReturnType<import("./tracks.js").layoutTracks>} layout
 * @property {number} width of the whole canvas
 * @property {number} height
 * @property {number} left width of the labels
 * @property {number} scroll
 * @property {number} now
 * @property {Set<string | number>} chain ids of the chosen item's causes and effects
 * @property {string | number | null} chosen
 * @property {Mark | null} hovered
 * @property {import("./scale.js").Range | null} selection
 * @property {number | null} moment
 * @property {(name: string) => string} labelInk the ink of a service's name
 */

/** @param {HTMLCanvasElement} canvas @param {Palette} palette @param {Picture} picture */
export function drawTimeline(canvas, palette, picture) {
  const ratio = window.devicePixelRatio || 1;
  const { width, height, left, scroll } = picture;
  const [wide, high] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== wide || canvas.height !== high) [canvas.width, canvas.height] = [wide, high];
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  drawAxis(context, palette, picture);
  context.save();
  context.beginPath();
  context.rect(0, AXIS_HEIGHT, width, height - AXIS_HEIGHT);
  context.clip();
  context.translate(0, AXIS_HEIGHT - scroll);
  drawTracks(context, palette, picture);
  context.beginPath();
  context.rect(left, scroll, width - left, height);
  context.clip();
  context.translate(left, 0);
  drawSelection(context, palette, picture);
  for (const band of picture.layout.bands) {
    context.fillStyle = palette.get(band.tone);
    context.globalAlpha = band.tone === "bad" ? 0.9 : 0.45;
    context.fillRect(band.x, band.y, band.right - band.x, 2);
  }
  context.globalAlpha = 1;
  drawLinks(context, palette, picture);
  for (const mark of picture.layout.marks) {
    const isMember = mark.items.some((item) => picture.chain.has(item.id));
    context.globalAlpha = picture.chain.size && !isMember ? 0.3 : 1;
    drawMark(context, palette, mark);
    if (mark === picture.hovered || mark.items.some((item) => item.id === picture.chosen)) drawRing(context, palette, mark);
  }
  context.globalAlpha = 1;
  context.restore();
}

/** @param {CanvasRenderingContext2D} context @param {Palette} palette @param {Picture} picture */
function drawAxis(context, palette, { range, width, height, left }) {
  context.font = "11px system-ui, sans-serif";
  context.textBaseline = "middle";
  const room = width - left;
  for (const tick of timeTicks(range, Math.floor(room / TICK_EVERY))) {
    const x = Math.round(left + toX(range, room, tick.at)) + 0.5;
    context.strokeStyle = palette.get("grid");
    context.beginPath();
    context.moveTo(x, AXIS_HEIGHT - 4);
    context.lineTo(x, height);
    context.stroke();
    context.fillStyle = palette.get("muted");
    context.textAlign = "center";
    if (x - left >= 24 && width - x >= 28) context.fillText(tick.label, x, 9);
  }
}

/** @param {CanvasRenderingContext2D} context @param {Palette} palette @param {Picture} picture */
function drawTracks(context, palette, { layout, width, left, now, range, labelInk, moment }) {
  context.font = "12px system-ui, sans-serif";
  context.textAlign = "left";
  for (const track of layout.tracks) {
    context.strokeStyle = palette.get("grid");
    context.beginPath();
    context.moveTo(0, track.y + 0.5);
    context.lineTo(width, track.y + 0.5);
    context.stroke();
    context.fillStyle = track.name ? palette.get(labelInk(track.name)) : palette.get("muted");
    context.fillText(shortened(context, track.label, left - 16), 12, track.y + TRACK_HEIGHT / 2 + 0.5);
  }
  for (const [at, ink] of /** @type {[number | null, string][]} */ ([[now, "grid-strong"], [moment, "accent"]])) {
    if (at === null || at < range[0] || at > range[1]) continue;
    const x = left + toX(range, width - left, at);
    context.strokeStyle = palette.get(ink);
    context.beginPath();
    context.moveTo(x, 0);
    context.lineTo(x, layout.height);
    context.stroke();
  }
}

/** @param {CanvasRenderingContext2D} context @param {string} text @param {number} room */
function shortened(context, text, room) {
  if (context.measureText(text).width <= room) return text;
  let end = text.length;
  while (end > 1 && context.measureText(`${text.slice(0, end)}…`).width > room) end -= 1;
  return `${text.slice(0, end)}…`;
}

/** @param {CanvasRenderingContext2D} context @param {Palette} palette @param {Picture} picture */
function drawSelection(context, palette, { selection, range, width, left, layout }) {
  if (!selection) return;
  const x = toX(range, width - left, selection[0]);
  const right = toX(range, width - left, selection[1]);
  context.fillStyle = palette.get("accent");
  context.globalAlpha = 0.13;
  context.fillRect(x, 0, Math.max(right - x, 1), layout.height);
  context.globalAlpha = 0.8;
  context.fillRect(x, 0, 1, layout.height);
  context.fillRect(right - 1, 0, 1, layout.height);
  context.globalAlpha = 1;
}

/** Lines from a chosen cause to its effects. @param {CanvasRenderingContext2D} context @param {Palette} palette @param {Picture} picture */
function drawLinks(context, palette, { chain, layout }) {
  if (!chain.size) return;
  /** @type {Map<string | number, Mark>} */
  const places = new Map();
  for (const mark of layout.marks) for (const item of mark.items) places.set(item.id, mark);
  for (const id of chain) {
    const mark = places.get(id);
    const item = mark?.items.find((member) => member.id === id);
    const from = item && item.cause !== null ? places.get(item.cause) : undefined;
    if (!mark || !item || !from || from === mark) continue;
    const isBad = item.tone === "bad" || item.kind === "error";
    context.strokeStyle = palette.get(isBad ? "bad" : "muted");
    context.lineWidth = isBad ? 1.6 : 1;
    context.beginPath();
    context.moveTo(from.x, from.y);
    const bend = Math.min(14, Math.max(4, (mark.x - from.x) / 2));
    context.bezierCurveTo(from.x + bend, from.y, mark.x - bend, mark.y, mark.x, mark.y);
    context.stroke();
  }
  context.lineWidth = 1;
}

/** The ink of an item: by its kind, and by its tone if it went wrong. @param {import("./causes.js").Item} item */
export function inkOf(item) {
  if (item.tone === "bad") return "bad";
  if (item.kind === "health") return item.tone;
  return item.kind === "error" || item.kind === "problem" ? "bad" : item.kind;
}

/** @param {CanvasRenderingContext2D} context @param {Palette} palette @param {Mark} mark */
function drawMark(context, palette, mark) {
  const { x, right, y, height, shape } = mark;
  const half = height / 2;
  const ink = palette.get(inkOf(mark.item));
  context.fillStyle = ink;
  context.strokeStyle = ink;
  context.beginPath();
  if (shape === "bar") context.roundRect(x, y - half, right - x, height, Math.min(2, (right - x) / 2));
  else if (shape === "dot") context.arc(x, y, half, 0, 7);
  else if (shape === "diamond") polygon(context, [[x, y - half], [x + half, y], [x, y + half], [x - half, y]]);
  else if (shape === "triangle") polygon(context, [[x, y - half], [x + half, y + half], [x - half, y + half]]);
  else {
    const arm = half - 1;
    context.lineWidth = 2.4;
    context.moveTo(x - arm, y - arm);
    context.lineTo(x + arm, y + arm);
    context.moveTo(x + arm, y - arm);
    context.lineTo(x - arm, y + arm);
    context.stroke();
    context.lineWidth = 1;
    return;
  }
  if (mark.item.end === null && shape === "bar") {
    context.globalAlpha *= 0.55;
    context.fill();
    context.globalAlpha = Math.min(context.globalAlpha / 0.55, 1);
    context.stroke();
  } else context.fill();
}

/** @param {CanvasRenderingContext2D} context @param {number[][]} points */
function polygon(context, points) {
  context.moveTo(points[0][0], points[0][1]);
  for (const [x, y] of points.slice(1)) context.lineTo(x, y);
  context.closePath();
}

/** @param {CanvasRenderingContext2D} context @param {Palette} palette @param {Mark} mark */
function drawRing(context, palette, mark) {
  context.strokeStyle = palette.get("text");
  context.lineWidth = 1.5;
  context.beginPath();
  const half = mark.height / 2 + 3;
  const [x, right] = mark.shape === "bar" ? [mark.x - 3, mark.right + 3] : [mark.x - half, mark.x + half];
  context.roundRect(x, mark.y - half, right - x, 2 * half, 4);
  context.stroke();
  context.lineWidth = 1;
}
