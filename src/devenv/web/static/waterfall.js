/** The start of the run as a waterfall: rows with begin, end and the critical path. Pure. */

import { formatDuration } from "./format.js";

/** @typedef {import("./model.js").Span} Span */

const SHORTEST_PART = 0.003; // of the whole time

/** Whether a span is a part of a step: `build web`. @param {Span} span */
function isPart(span) {
  return span.name.includes(" ");
}

/**
 * @typedef {object} WaterfallRow
 * @property {string} name
 * @property {number} begin share of the width, 0 to 1
 * @property {number} share
 * @property {boolean} critical
 * @property {boolean} isPart whether the row is a part of a step
 * @property {string} duration
 * @property {string} text for a screen reader
 * @property {string} after
 */

/**
 * The rows in the order of their begin, without parts that are too short to be seen.
 * @param {{seconds: number, spans: Span[]}} startup
 * @returns {WaterfallRow[]}
 */
export function waterfallRows(startup) {
  const total = Math.max(startup.seconds, ...startup.spans.map((span) => span.end), 0.001);
  const shown = startup.spans.filter((span) => !isPart(span) || span.end - span.start >= total * SHORTEST_PART);
  return shown.map((span) => {
    const duration = formatDuration((span.end - span.start) * 1000);
    const notes = [span.critical ? "on the critical path" : "", span.after ? `after ${span.after}` : ""].filter(Boolean);
    return {
      name: span.name, begin: span.start / total, share: Math.max((span.end - span.start) / total, 0.002),
      critical: span.critical, isPart: isPart(span), duration, after: span.after,
      text: `${span.name}: ${duration}, from ${formatDuration(span.start * 1000)}${notes.length ? `, ${notes.join(", ")}` : ""}`,
    };
  });
}

/**
 * The chain of parts that the whole start waited for, shortest names: `build web 12 s → health db 4.1 s`.
 * @param {{seconds: number, spans: Span[]}} startup
 * @param {number} [most]
 */
export function criticalPath(startup, most = 5) {
  const parts = startup.spans.filter((span) => span.critical && span.end > span.start);
  const isCovered = (/** @type {Span} */ span) => !span.name.includes(" ") && parts.some((other) => other.name.startsWith(`${span.name} `));
  const leaves = parts.filter((span) => !isCovered(span));
  const longest = [...leaves].sort((one, other) => other.end - other.start - (one.end - one.start)).slice(0, most);
  return leaves.filter((span) => longest.includes(span))
    .map((span) => `${span.name} ${formatDuration((span.end - span.start) * 1000)}`).join(" → ");
}
