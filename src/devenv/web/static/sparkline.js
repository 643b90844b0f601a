/** The path of a small chart of load. Pure. */

/** @typedef {import("./model.js").Point} Point */

/**
 * The path of the line and that of the area below it, for a viewBox of width x height.
 * @param {Point[]} points
 * @param {number} column 1: processor, 2: memory
 * @param {{width: number, height: number, span: number, now: number, least: number}} box `span`: milliseconds; `least`: the scale's lowest top
 * @returns {{line: string, area: string}}
 */
export function sparkline(points, column, box) {
  const begin = box.now - box.span;
  const shown = points.filter((point) => point[column] !== null && point[0] >= begin);
  if (shown.length < 2) return { line: "", area: "" };
  const top = Math.max(box.least, ...shown.map((point) => /** @type {number} */ (point[column])));
  const place = (/** @type {Point} */ point) => {
    const x = ((point[0] - begin) / box.span) * box.width;
    const y = box.height - 1 - (/** @type {number} */ (point[column]) / top) * (box.height - 2);
    return `${x.toFixed(1)} ${y.toFixed(1)}`;
  };
  const line = `M${shown.map(place).join("L")}`;
  const firstX = place(shown[0]).split(" ")[0];
  const lastX = place(shown[shown.length - 1]).split(" ")[0];
  return { line, area: `${line}L${lastX} ${box.height}L${firstX} ${box.height}Z` };
}
