import assert from "node:assert/strict";
import { test } from "node:test";
import { chainOf, failuresIn, lastFailure, saveOf } from "../../src/devenv/web/static/causes.js";
import { panRange, timeTicks, toTime, toX, zoomRange } from "../../src/devenv/web/static/scale.js";
import { layoutTracks, markAt, nextMark } from "../../src/devenv/web/static/tracks.js";
import { criticalPath, waterfallRows } from "../../src/devenv/web/static/waterfall.js";

function item(id, kind, service, start, more = {}) {
  return { id, kind, service, start, end: start, title: kind, detail: "", files: [], tone: "good", cause: null, line: null, ...more };
}

const ITEMS = new Map([
  item(1, "save", "", 1000, { files: ["a.py"] }), item(2, "sync", "api", 1002, { end: 1008, cause: 1 }),
  item(3, "restart", "api", 1010, { end: 1500, cause: 2 }), item(4, "error", "api", 1400, { cause: 3, tone: "bad" }),
  item(5, "health", "api", 2600, { cause: 4, tone: "bad" }), item(6, "save", "", 1001), item(7, "sync", "web", 1003, { cause: 6 }),
  item(8, "error", "web", 3000, { tone: "bad", end: null }),
].map((entry) => [entry.id, entry]));

test("an error leads to its save, and the save to the error", () => {
  assert.equal(saveOf(ITEMS, ITEMS.get(4)).id, 1);
  assert.deepEqual(chainOf(ITEMS, ITEMS.get(4)).map(({ id }) => id), [1, 2, 3, 4, 5]);
  assert.deepEqual(failuresIn(chainOf(ITEMS, ITEMS.get(1))).map(({ id }) => id), [4]);
  assert.deepEqual(chainOf(ITEMS, ITEMS.get(6)).map(({ id }) => id), [6, 7]);
  assert.equal(saveOf(ITEMS, ITEMS.get(8)), null);
});

test("the failure of a service is the error, not the state that followed", () => {
  const failure = lastFailure(ITEMS, "api");
  assert.deepEqual([failure.item.id, failure.save.id], [4, 1]);
  assert.equal(lastFailure(ITEMS, "db"), null);
  const later = new Map([...ITEMS, [9, item(9, "problem", "api", 9000)], [10, item(10, "error", "api", 20, { tone: "bad" })]]);
  assert.equal(lastFailure(later, "api").item.id, 9);
});

test("causes in a circle or without an item end the search", () => {
  const items = new Map([[1, item(1, "sync", "a", 1, { cause: 2 })], [2, item(2, "sync", "a", 2, { cause: 1 })], [3, item(3, "error", "a", 3, { cause: 99 })]]);
  assert.equal(saveOf(items, items.get(1)), null);
  assert.deepEqual(chainOf(items, items.get(3)).map(({ id }) => id), [3]);
});

test("zoom keeps the time under the pointer, within limits", () => {
  assert.deepEqual(zoomRange([0, 1000], 0.5, 250, [0, 1000]), [125, 625]);
  assert.deepEqual(zoomRange([0, 1000], 4, 500, [0, 2000]), [0, 2000]);
  assert.deepEqual(panRange([0, 500], -100, [0, 1000]), [0, 500]);
  assert.deepEqual(panRange([0, 500], 800, [0, 1000]), [500, 1000]);
  const [begin, end] = zoomRange([0, 60], 0.01, 30, [0, 1000]);
  assert.equal(end - begin, 50);
  assert.equal(toTime([0, 1000], 100, toX([0, 1000], 100, 420)), 420);
});

test("the axis has at most the given number of marks, at round times", () => {
  const begin = new Date(2026, 11, 1, 13, 5, 7).getTime();
  for (const length of [80, 900, 4000, 60_000, 300_000, 7_200_000, 90_000_000]) {
    const ticks = timeTicks([begin, begin + length], 8);
    assert.ok(ticks.length >= 1 && ticks.length <= 9, `${length}: ${ticks.length}`);
  }
  assert.equal(timeTicks([begin, begin + 60_000], 6)[0].label, "13:05:10");
  assert.equal(timeTicks([begin, begin + 300_000], 6)[0].label, "13:06");
});

test("marks lie on the track of their service; near ones of a kind become one", () => {
  const layout = layoutTracks({ items: ITEMS.values(), services: ["web", "api"], range: [900, 3100], width: 220, now: 3100 });
  assert.deepEqual(layout.tracks.map(({ label, y }) => [label, y]), [["saves", 0], ["web", 24], ["api", 48]]);
  const saves = layout.marks.filter((mark) => mark.item.kind === "save");
  assert.deepEqual(saves.map((mark) => mark.items.map(({ id }) => id)), [[1, 6]]);
  const error = layout.marks.find((mark) => mark.item.id === 4);
  assert.deepEqual([error.x, error.y], [50, 60]);
  assert.deepEqual(layout.bands.map(({ x, right, tone }) => [x, right, tone]), [[170, 220, "bad"]]);
  assert.equal(markAt(layout.marks, 51, 61).item.id, 4);
  assert.equal(markAt(layout.marks, 100, 10), null);
});

test("an error colours the band of its service until it is gone", () => {
  const items = [item(1, "health", "api", 0), item(2, "error", "api", 100), item(3, "health", "api", 200, { title: "error gone" }), item(4, "error", "api", 300)];
  const bands = (broken) => layoutTracks({ items, services: ["api"], broken, range: [0, 400], width: 400, now: 400 }).bands.map(({ x, tone }) => [x, tone]);
  items[1].tone = items[3].tone = "bad";
  assert.deepEqual(bands(new Set()), [[0, "good"], [100, "bad"], [200, "good"]]);
  assert.deepEqual(bands(new Set(["api"])), [[0, "good"], [100, "bad"], [200, "good"], [300, "bad"]]);
});

test("an item that lasts is shown although it began before the range", () => {
  const items = [item(1, "rebuild", "api", 0, { end: null })];
  const [mark] = layoutTracks({ items, services: ["api"], range: [1000, 2000], width: 100, now: 1500 }).marks;
  assert.deepEqual([mark.x, mark.right], [-100, 50]);
});

test("the number of marks is bounded, whatever the number of items", () => {
  const items = Array.from({ length: 20_000 }, (_, index) => item(index, "sync", "api", index, { end: index + 0.5 }));
  const layout = layoutTracks({ items, services: ["api"], range: [0, 20_000], width: 500, now: 20_000 });
  assert.ok(layout.marks.length < 600, String(layout.marks.length));
});

test("arrow keys go to the next event in time and to the nearest of another track", () => {
  const { marks } = layoutTracks({ items: ITEMS.values(), services: ["web", "api"], range: [900, 3100], width: 2200, now: 3100 });
  const first = nextMark(marks, null, "ArrowRight");
  assert.equal(first.item.id, 6);
  const sync = nextMark(marks, first, "ArrowDown");
  assert.equal(sync.item.id, 7);
  assert.equal(nextMark(marks, marks.find((mark) => mark.item.id === 3), "ArrowRight").item.id, 4);
  assert.equal(nextMark(marks, sync, "ArrowUp").item.id, 6);
});

test("the waterfall has shares, and the critical path names the parts", () => {
  const span = (name, start, end, critical = true, after = "") => ({ name, start, end, critical, after });
  const startup = { seconds: 10, spans: [span("build", 0, 5), span("build api", 1, 5), span("build web", 1, 3, false), span("start api", 5, 6), span("health api", 6, 10, true, "db")] };
  assert.equal(criticalPath(startup), "build api 4.0 s → start api 1.0 s → health api 4.0 s");
  const rows = waterfallRows(startup);
  assert.deepEqual([rows[1].begin, rows[1].share, rows[1].isPart, rows[2].critical], [0.1, 0.4, true, false]);
  assert.match(rows[4].text, /health api: 4.0 s, from 6.0 s, on the critical path, after db/);
});
