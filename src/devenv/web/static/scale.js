/** The time axis: positions of times, zoom, and the marks of the axis. Pure. */

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const STEPS = [
  1, 2, 5, 10, 20, 50, 100, 200, 500, SECOND, 2 * SECOND, 5 * SECOND, 10 * SECOND, 15 * SECOND, 30 * SECOND,
  MINUTE, 2 * MINUTE, 5 * MINUTE, 10 * MINUTE, 15 * MINUTE, 30 * MINUTE,
  HOUR, 2 * HOUR, 3 * HOUR, 6 * HOUR, 12 * HOUR, DAY, 2 * DAY, 7 * DAY,
];
export const SHORTEST = 50; // milliseconds that the axis shows at least

/** @typedef {[number, number]} Range begin and end in milliseconds since 1970 */

/** @param {Range} range @param {number} width @param {number} at */
export function toX(range, width, at) {
  return ((at - range[0]) / (range[1] - range[0])) * width;
}

/** @param {Range} range @param {number} width @param {number} x */
export function toTime(range, width, x) {
  return range[0] + (x / width) * (range[1] - range[0]);
}

/**
 * The range made shorter (factor below 1) or longer about a time, within limits.
 * @param {Range} range
 * @param {number} factor
 * @param {number} about
 * @param {Range} limits
 * @returns {Range}
 */
export function zoomRange(range, factor, about, limits) {
  const length = range[1] - range[0];
  const most = Math.max(limits[1] - limits[0], SHORTEST);
  const wanted = Math.min(Math.max(length * factor, SHORTEST), most);
  const share = (about - range[0]) / length;
  return withinLimits([about - share * wanted, about + (1 - share) * wanted], limits);
}

/** @param {Range} range @param {number} by milliseconds @param {Range} limits @returns {Range} */
export function panRange(range, by, limits) {
  return withinLimits([range[0] + by, range[1] + by], limits);
}

/** The range moved into the limits; the limits if it is longer. @param {Range} range @param {Range} limits @returns {Range} */
export function withinLimits(range, limits) {
  const length = range[1] - range[0];
  if (length >= limits[1] - limits[0]) return [Math.min(limits[0], limits[1] - SHORTEST), limits[1]];
  if (range[0] < limits[0]) return [limits[0], limits[0] + length];
  if (range[1] > limits[1]) return [limits[1] - length, limits[1]];
  return range;
}

/** Two times as a range, whichever is first. @param {number} one @param {number} other @returns {Range} */
export function ordered(one, other) {
  return one <= other ? [one, other] : [other, one];
}

/**
 * The marks of the axis: at most `most`, at round local times.
 * @param {Range} range
 * @param {number} most
 * @returns {{at: number, label: string}[]}
 */
export function timeTicks(range, most) {
  const length = range[1] - range[0];
  const step = STEPS.find((candidate) => length / candidate <= Math.max(most, 1)) ?? Math.ceil(length / most / DAY) * DAY;
  const shift = step >= MINUTE ? new Date(range[0]).getTimezoneOffset() * MINUTE : 0;
  const ticks = [];
  for (let at = Math.ceil((range[0] - shift) / step) * step + shift; at <= range[1]; at += step) {
    ticks.push({ at, label: tickLabel(at, step) });
  }
  return ticks;
}

/** @param {number} at @param {number} step */
function tickLabel(at, step) {
  const date = new Date(at);
  const [hours, minutes, seconds] = [date.getHours(), date.getMinutes(), date.getSeconds()].map((part) => String(part).padStart(2, "0"));
  if (step >= DAY) return date.toLocaleDateString(undefined, { day: "numeric", month: "short" });
  if (step >= MINUTE) return `${hours}:${minutes}`;
  if (step >= SECOND) return `${hours}:${minutes}:${seconds}`;
  return `${minutes}:${seconds}.${String(date.getMilliseconds()).padStart(3, "0")}`;
}
