/** Text of numbers, times and lines. Pure. */

const CONTROLS = /[\u0000-\u0008\u000a-\u001f\u007f-\u009f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/;
const ALL_CONTROLS = new RegExp(CONTROLS.source, "g");
const KILO = 1024;

/**
 * The text with control characters and controls of the writing direction made visible.
 * @param {string} text
 * @returns {string}
 */
export function cleanText(text) {
  return CONTROLS.test(text) ? text.replace(ALL_CONTROLS, visibleControl) : text;
}

/** @param {string} character */
function visibleControl(character) {
  const code = character.charCodeAt(0);
  if (code < 0x20) return String.fromCharCode(0x2400 + code);
  if (code === 0x7f) return "\u2421";
  return `\u2039${code.toString(16).toUpperCase().padStart(4, "0")}\u203a`;
}

/**
 * The text, cut to a number of UTF-16 units, never inside a pair.
 * @param {string} text
 * @param {number} most
 */
export function cutText(text, most) {
  if (text.length <= most) return text;
  const last = text.charCodeAt(most - 1);
  return text.slice(0, last >= 0xd800 && last < 0xdc00 ? most - 1 : most);
}

/** @param {number} value @param {number} [digits] */
function padded(value, digits = 2) {
  return String(value).padStart(digits, "0");
}

/**
 * A time of day: `13:05:09`, with milliseconds `13:05:09.120`.
 * @param {number} at milliseconds since 1970
 * @param {boolean} [precise]
 */
export function formatClock(at, precise = false) {
  const date = new Date(at);
  const text = `${padded(date.getHours())}:${padded(date.getMinutes())}:${padded(date.getSeconds())}`;
  return precise ? `${text}.${padded(date.getMilliseconds(), 3)}` : text;
}

/**
 * A duration: `12 ms`, `1.2 s`, `48 s`, `3 min 20 s`, `2 h 5 min`.
 * @param {number} ms
 */
export function formatDuration(ms) {
  if (!(ms > 0)) return "0 ms";
  if (ms < 1) return "<1 ms";
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  const seconds = ms / 1000;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  if (seconds < 59.5) return `${Math.round(seconds)} s`;
  const whole = Math.round(seconds);
  if (whole < 3600) return joinUnits(Math.floor(whole / 60), "min", whole % 60, "s");
  const minutes = Math.round(whole / 60);
  return joinUnits(Math.floor(minutes / 60), "h", minutes % 60, "min");
}

/** @param {number} large @param {string} unit @param {number} small @param {string} smallUnit */
function joinUnits(large, unit, small, smallUnit) {
  return small ? `${large} ${unit} ${small} ${smallUnit}` : `${large} ${unit}`;
}

/**
 * How long ago: `now`, `12 s ago`, `3 min ago`. It changes rarely, so that an idle page stays as it is.
 * @param {number} ms
 */
export function formatAge(ms) {
  const seconds = ms / 1000;
  if (seconds < 2) return "now";
  if (seconds < 10) return `${Math.floor(seconds)} s ago`;
  if (seconds < 60) return `${Math.floor(seconds / 5) * 5} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  return `${Math.floor(seconds / 3600)} h ago`;
}

/**
 * A size as the live view prints it: `84 MB`, `1.2 GB` (powers of 1,024).
 * @param {number} bytes
 */
export function formatBytes(bytes) {
  const mega = bytes / KILO ** 2;
  return mega < 1000 ? `${mega.toFixed(0)} MB` : `${(mega / KILO).toFixed(1)} GB`;
}

/** @param {number} percent of one core */
export function formatPercent(percent) {
  return percent < 9.95 && percent >= 0.05 ? `${percent.toFixed(1)} %` : `${Math.round(percent)} %`;
}

/**
 * A number with its noun: `1 file`, `1,200 files`.
 * @param {number} count
 * @param {string} noun
 */
export function counted(count, noun) {
  return `${formatCount(count)} ${noun}${count === 1 ? "" : "s"}`;
}

/** @param {number} count */
export function formatCount(count) {
  return String(count).replace(/\B(?=(\d{3})+$)/g, ",");
}

/**
 * A short name of an address: `localhost:8080`, `localhost:8080/admin`.
 * @param {string} url
 */
export function shortUrl(url) {
  return url.replace(/^https?:\/\//, "").replace(/\/$/, "");
}

/**
 * Whether a link to this address may be made: plain http and https only.
 * @param {string} url
 */
export function isSafeUrl(url) {
  return /^https?:\/\/[A-Za-z0-9.\-[\]:]+(\/[A-Za-z0-9\-._~/?=&%]*)?$/.test(url);
}

/**
 * The end of a path: its last parts, `routes/todos.py`.
 * @param {string} path
 * @param {number} [parts]
 */
export function pathEnd(path, parts = 2) {
  return path.split("/").slice(-parts).join("/");
}

/**
 * A list of names that stays short: `a, b and 3 more`.
 * @param {string[]} names
 * @param {number} [most]
 */
export function someOf(names, most = 3) {
  if (names.length <= most) return names.join(", ");
  return `${names.slice(0, most).join(", ")} and ${names.length - most} more`;
}
