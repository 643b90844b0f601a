import assert from "node:assert/strict";
import { test } from "node:test";
import { lineSplitter } from "../../src/devenv/web/static/connection.js";
import { announcement, applyEarlier, applyMessage, emptyModel, errorsFirst, summary } from "../../src/devenv/web/static/model.js";
import { sparkline } from "../../src/devenv/web/static/sparkline.js";

const HELLO = { type: "hello", project: "todo", startedAt: 1, now: 5 };

function service(name, more = {}) {
  return { name, phase: "healthy", word: "healthy", tone: "good", ...more };
}

function modelOf(...messages) {
  const model = emptyModel();
  for (const message of messages) applyMessage(model, message);
  return model;
}

function stateOf(...services) {
  return modelOf(HELLO, { type: "state", services });
}

test("unknown messages and fields change nothing", () => {
  const model = modelOf({ ...HELLO, future: 1 });
  assert.equal(applyMessage(model, { type: "future", services: 3 }), "");
  assert.equal(model.hello.project, "todo");
});

test("the header counts services that are up, and errors with their problems", () => {
  assert.deepEqual(summary(emptyModel()), { text: "connecting", tone: "idle" });
  assert.deepEqual(summary(stateOf(service("a"), service("b"))), { text: "2 of 2 up", tone: "good" });
  assert.deepEqual(summary(stateOf(service("a", { tone: "bad", error: "x" }), service("b"))), { text: "1 of 2 up, 1 error", tone: "bad" });
  assert.deepEqual(summary(stateOf(service("a", { tone: "busy" }), service("b"))), { text: "1 of 2 up", tone: "busy" });
  const problems = [{ service: "a" }, { service: "", path: "x" }];
  const model = modelOf(HELLO, { type: "state", services: [service("a", { tone: "bad" })], problems });
  assert.equal(summary(model).text, "0 of 1 up, 2 errors");
});

test("broken services come first, then busy ones, each in the order of the project", () => {
  const services = stateOf(service("a"), service("b", { tone: "busy" }), service("c", { error: "x" }), service("d"), service("e", { tone: "bad" })).services;
  assert.deepEqual(errorsFirst(services).map(({ name }) => name), ["c", "e", "b", "a", "d"]);
});

test("a screen reader hears new errors and their end, and nothing else", () => {
  const good = stateOf(service("a"), service("b", { cpu: 1 })).services;
  const bad = stateOf(service("a", { tone: "bad", error: "main.py:3: SyntaxError" }), service("b", { cpu: 9 })).services;
  assert.equal(announcement(good, bad), "a: main.py:3: SyntaxError");
  assert.equal(announcement(bad, bad), "");
  assert.equal(announcement(bad, good), "a is healthy again");
  assert.equal(announcement([], bad), "");
});

test("lines that come again after a lost connection are there once", () => {
  const lines = [[1, 1, "a", "", "one", 0], [2, 2, "a", "", "two", 0]];
  const model = modelOf(HELLO, { type: "log", lines }, HELLO, { type: "log", lines: [...lines, [3, 3, "a", "", "three", 0]] });
  assert.deepEqual(model.lines.all().map((line) => line[4]), ["one", "two", "three"]);
  applyEarlier(model, [[-1, 0, "a", "", "zero", 0]]);
  assert.deepEqual(model.lines.all().map((line) => line[4]), ["zero", "one", "two", "three"]);
});

test("a new stream with other numbers replaces lines and items, but only once they come", () => {
  const model = modelOf(HELLO, { type: "log", lines: [[7, 1, "a", "", "old", 0]] }, { type: "timeline", items: [{ id: 1, kind: "save", start: 1 }] }, HELLO);
  assert.deepEqual([model.lines.size, model.items.size], [1, 1]);
  applyMessage(model, { type: "log", lines: [[1, 1, "a", "", "old", 0], [2, 2, "a", "", "new", 0]] });
  applyMessage(model, { type: "log", lines: [[3, 3, "a", "", "newer", 0]] });
  applyMessage(model, { type: "timeline", items: [{ id: 5, kind: "save", start: 1 }] });
  applyMessage(model, { type: "timeline", items: [{ id: 6, kind: "sync", start: 2 }] });
  assert.deepEqual(model.lines.all().map((line) => line[4]), ["old", "new", "newer"]);
  assert.deepEqual([...model.items.keys()], [5, 6]);
});

test("a page that ends while the run goes on says so", () => {
  assert.equal(modelOf({ type: "ended", reason: "Ctrl-C" }).ended, "The run has ended: Ctrl-C.");
  assert.equal(modelOf({ type: "ended", reason: "detached", goesOn: true }).ended, "This page has ended: detached.");
});

test("another run begins with an empty page", () => {
  const model = modelOf(HELLO, { type: "state", services: [service("a")] }, { type: "log", lines: [[1, 1, "a", "", "x", 0]] });
  assert.equal(applyMessage(model, { ...HELLO, startedAt: 2 }), "run");
  assert.deepEqual([model.services.length, model.lines.size, model.hello.startedAt], [0, 0, 2]);
});

test("an item replaces the one of its id, and the oldest items leave", () => {
  const model = modelOf(HELLO, { type: "timeline", items: [{ id: 1, kind: "rebuild", start: 1, end: null }] });
  applyMessage(model, { type: "timeline", items: [{ id: 1, kind: "rebuild", start: 1, end: 9 }] });
  assert.deepEqual([model.items.size, model.items.get(1).end, model.items.get(1).files], [1, 9, []]);
  applyMessage(model, { type: "timeline", items: Array.from({ length: 21_000 }, (_, index) => ({ id: index + 2, start: index })) });
  assert.equal(model.items.size, 20_000);
  assert.ok(!model.items.has(1));
});

test("load is kept in order and once", () => {
  const points = [[1, 2, 3], [2, 2, 3]];
  const model = modelOf({ type: "load", service: "a", points }, { type: "load", service: "a", points: [...points, [3, null, 3]] });
  assert.deepEqual(model.loads.get("a"), [...points, [3, null, 3]]);
});

test("a chart needs two points, and its line stays in its box", () => {
  const box = { width: 60, height: 20, span: 100, now: 100, least: 5 };
  assert.equal(sparkline([[50, 1, 1]], 1, box).line, "");
  assert.equal(sparkline([[0, 0, 1], [50, 10, 1], [60, null, 1], [100, 5, 1]], 1, box).line, "M0.0 19.0L30.0 1.0L60.0 10.0");
});

test("lines of the stream may be cut anywhere", () => {
  const lines = [];
  const split = lineSplitter((line) => lines.push(line));
  for (const chunk of ['{"a"', ":1}\n", '{"b":2}\n{"c', '":3}\n\n']) split(chunk);
  assert.deepEqual(lines, ['{"a":1}', '{"b":2}', '{"c":3}']);
});
