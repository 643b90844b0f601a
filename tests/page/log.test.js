import assert from "node:assert/strict";
import { test } from "node:test";
import { colourClasses, colouredPieces } from "../../src/devenv/web/static/colours.js";
import { isOpen, matchPlaces, parseFilter } from "../../src/devenv/web/static/filter.js";
import { LineStore, withEarlier } from "../../src/devenv/web/static/lines.js";
import { nextError, ShownRows, textWidth } from "../../src/devenv/web/static/rows.js";

const TRACEBACK = ["Traceback (most recent call last):", '  File "a.py", line 1', "ValueError: no"];

function storeOf(lines, capacity = 1000) {
  const store = new LineStore(capacity);
  lines.forEach(([service, text, level = "", group = 0], index) => store.add([index + 1, 1000 + index, service, level, text, group]));
  return store;
}

function shownTexts(store, typed, chosen = {}, unfolded = new Set()) {
  const shown = new ShownRows(store, parseFilter(typed, chosen), unfolded);
  shown.update();
  return Array.from({ length: shown.length }, (_, row) => store.at(shown.position(row)).text);
}

const MIXED = storeOf([
  ["api", "GET /todos 200"], ["api", "Boom", "error"], ["api-worker", "time OUT now", "warn"], ["db", "checkpoint"],
  ["api", TRACEBACK[0], "error", 5], ["api", TRACEBACK[1], "error", 5], ["db", "ready"], ["api", TRACEBACK[2], "error", 5],
]);

test("words, a regular expression, services and the level must all hold", () => {
  assert.deepEqual(shownTexts(MIXED, "out time"), ["time OUT now"]);
  assert.deepEqual(shownTexts(MIXED, "/GET .* 20\\d/"), ["GET /todos 200"]);
  assert.deepEqual(shownTexts(MIXED, "@db"), ["checkpoint", "ready"]);
  assert.deepEqual(shownTexts(MIXED, "@db @api-w /o/"), ["time OUT now", "checkpoint"]);
  assert.deepEqual(shownTexts(MIXED, "level:warn @api-"), ["time OUT now"]);
  assert.deepEqual(shownTexts(MIXED, "", { only: "api", level: 2 }), ["Boom", TRACEBACK[0]]);
  assert.deepEqual(shownTexts(MIXED, "", { range: [1002, 1003] }), ["time OUT now", "checkpoint"]);
});

test("an invalid filter says why", () => {
  assert.match(parseFilter("/a(b/").fault, /not a regular expression: .*group/);
  assert.equal(parseFilter("level:x").fault, "level: must be error or warn");
  assert.equal(parseFilter("/a(b)/ x").fault, "");
  assert.ok(isOpen(parseFilter("  ")));
});

test("a path between slashes is a regular expression only as a whole word", () => {
  assert.equal(parseFilter("GET /api/todos").pattern, null);
  assert.deepEqual(parseFilter("GET /api/todos").words, ["get", "/api/todos"]);
});

test("all matches in a line have a place, without overlaps", () => {
  assert.deepEqual(matchPlaces(parseFilter("an /na/"), "Banana an"), [[1, 3], [3, 5], [7, 9]]);
  assert.deepEqual(matchPlaces(parseFilter("/x*/"), "aaa"), []);
});

test("a traceback is folded to its first line, unfolded on demand, and searched as a whole", () => {
  assert.deepEqual(shownTexts(MIXED, "@api level:error"), ["Boom", TRACEBACK[0]]);
  assert.deepEqual(shownTexts(MIXED, "@api level:error", {}, new Set([5])), ["Boom", ...TRACEBACK]);
  assert.deepEqual(shownTexts(MIXED, "valueerror"), [TRACEBACK[2]]);
  assert.deepEqual(MIXED.groups.get(5), { lines: 3, title: "ValueError: no" });
});

test("the first line of a traceback may come before it is known as one", () => {
  const store = storeOf([["api", "/app/x.js:3"], ["api", "SyntaxError: no", "error", 1], ["api", "    at y", "error", 1]]);
  assert.deepEqual(shownTexts(store, ""), ["/app/x.js:3"]);
  assert.deepEqual([store.at(0).group, store.groups.get(1)], [1, { lines: 3, title: "SyntaxError: no" }]);
});

test("copied text has all lines of folded tracebacks", () => {
  const shown = new ShownRows(MIXED, parseFilter("level:error"), new Set());
  assert.deepEqual(shown.texts((line) => line.text), ["Boom", ...TRACEBACK]);
});

test("the ring keeps the newest lines, and rows of lost lines leave", () => {
  const store = storeOf([], 3);
  const shown = new ShownRows(store, parseFilter(""), new Set());
  const lost = [];
  for (let number = 1; number <= 7; number += 1) {
    store.add([number, number, "a", "", `line ${number}`, 0]);
    lost.push(shown.update());
  }
  assert.deepEqual(lost, [0, 0, 0, 1, 1, 1, 1]);
  assert.deepEqual([shown.length, store.size, store.dropped, store.lastNumber], [3, 3, 4, 7]);
  assert.equal(store.at(shown.position(0)).text, "line 5");
  assert.equal(store.at(store.positionOf(6)).number, 6);
});

test("wrapped lines have the height of their parts, also after lines were lost", () => {
  const store = storeOf([["a", "12345"], ["a", "1"], ["a", "12345678901"], ["a", "\t\t"]], 4);
  const shown = new ShownRows(store, parseFilter(""), new Set(), 5);
  shown.update();
  assert.deepEqual([0, 1, 2, 3, 4].map((row) => shown.top(row)), [0, 1, 2, 5, 7]);
  assert.deepEqual([0, 1.5, 2, 4.9, 5, 99].map((height) => shown.rowAt(height)), [0, 1, 2, 2, 3, 4]);
  store.add([5, 5, "a", "", "123456", 0]);
  store.add([6, 6, "a", "", "1", 0]);
  assert.equal(shown.update(), 2);
  assert.deepEqual([shown.height, shown.top(1), shown.rowAt(0)], [8, 3, 0]);
  shown.wrap(Infinity);
  assert.deepEqual([shown.height, shown.top(2), shown.length], [4, 2, 4]);
  assert.equal(textWidth("\u4f60\u597da"), 5);
});

test("colours that a container printed become classes, also those of 256 and of 16 million", () => {
  assert.deepEqual(["31", "1;92", "2", "38;5;208", "38;5;21", "38;5;240", "38;2;255;120;250", "48;5;1;36", "0", "38;5"].map(colourClasses),
    ["ansi-1", "ansi-bold ansi-2", "ansi-0", "ansi-3", "ansi-4", "ansi-0", "ansi-5", "ansi-6", "", "ansi-7"]);
  assert.deepEqual(colouredPieces("😀ok and done", [[1, 3, "32"], [8, 99, "1"]]).map(({ text, classes }) => [text, classes]),
    [["😀", ""], ["ok", "ansi-2"], [" and ", ""], ["done", "ansi-bold"]]);
  const store = new LineStore(3);
  store.add([1, 1, "a", "", "red", 0, [[0, 3, "31"]]]);
  assert.deepEqual(withEarlier(store, [[-1, 0, "a", "", "old", 0, [[0, 1, "1"]]]]).all().map((line) => line[6]), [[[0, 1, "1"]], [[0, 3, "31"]]]);
});

test("earlier lines come before those of the stream, also if both number from 1", () => {
  const joined = withEarlier(MIXED, [[1, 10, "db", "", "old", 0], [2, 11, "api", "error", "old trace", 2], [3, 12, "api", "error", "OldError: x", 2]]);
  assert.equal(joined.size, MIXED.size + 3);
  assert.deepEqual(joined.all().map(([number]) => number), [-2, -1, 0, 1, 2, 3, 4, 5, 6, 7, 8]);
  assert.equal(joined.groups.get(-1).title, "OldError: x");
  const full = withEarlier(storeOf([["a", "x"], ["a", "y"]], 3), [[1, 1, "a", "", "lost", 0], [2, 2, "a", "", "kept", 0]]);
  assert.deepEqual(full.all().map((line) => line[4]), ["kept", "x", "y"]);
});

test("the next and the last error are those that the filter shows, each once", () => {
  const shown = new ShownRows(MIXED, parseFilter(""), new Set([5]));
  shown.update();
  assert.deepEqual([nextError(shown, shown.length, -1), nextError(shown, 4, -1), nextError(shown, 1, -1), nextError(shown, 1, 1)], [4, 1, null, 4]);
  shown.reset(parseFilter("valueerror"));
  assert.equal(nextError(shown, 1, -1), 0);
  shown.reset(parseFilter("boom"));
  assert.deepEqual([nextError(shown, 1, -1), nextError(shown, -1, 1)], [0, 0]);
});

test("100,000 lines are searched in a small multiple of what a plain loop over the texts takes", () => {
  const store = new LineStore(100_000);
  for (let number = 1; number <= 100_000; number += 1) {
    store.add([number, number, `service-${number % 50}`, "", `INFO: request ${number} "GET /api/items/${number * 7919} HTTP/1.1" 200 OK`, 0]);
  }
  const texts = store.columns.low;
  const shown = new ShownRows(store, parseFilter(""), new Set());
  const median = (action) => Array.from({ length: 7 }, () => {
    const begin = performance.now();
    action();
    return performance.now() - begin;
  }).sort((one, other) => one - other)[3];
  let found = 0;
  const plain = median(() => {
    found = 0;
    for (const text of texts) if (text.includes("items/791892")) found += 1;
  });
  const ours = median(() => shown.reset(parseFilter("items/791892")));
  assert.equal(shown.length, found);
  assert.ok(found > 0);
  assert.ok(ours < 50 || ours < 12 * plain, `${ours.toFixed(1)} ms, plain ${plain.toFixed(1)} ms`);
});
