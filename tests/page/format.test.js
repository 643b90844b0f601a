import assert from "node:assert/strict";
import { test } from "node:test";
import { cleanText, counted, cutText, formatAge, formatBytes, formatDuration, formatPercent, isSafeUrl, pathEnd, shortUrl, someOf } from "../../src/devenv/web/static/format.js";

test("control characters and controls of the writing direction become visible", () => {
  assert.equal(cleanText("a\u001b[31mb\u007f"), "a\u241b[31mb\u2421");
  assert.equal(cleanText("x\u202egpj.exe\u2066"), "x\u2039202E\u203agpj.exe\u20392066\u203a");
  assert.equal(cleanText("tab\tstays, 👩\u200d💻 stays"), "tab\tstays, 👩\u200d💻 stays");
  assert.equal(cleanText("line\r\nend"), "line\u240d\u240aend");
});

test("a text is never cut inside a pair", () => {
  assert.equal(cutText("abc", 3), "abc");
  assert.equal(cutText("ab😀c", 3), "ab");
  assert.equal(cutText("ab😀c", 4), "ab😀");
});

test("durations, ages and sizes are short", () => {
  assert.deepEqual([0, 0.4, 12.4, 999, 1234, 48_000, 59_600, 200_000, 3_600_000, 7_500_000].map(formatDuration),
    ["0 ms", "<1 ms", "12 ms", "999 ms", "1.2 s", "48 s", "1 min", "3 min 20 s", "1 h", "2 h 5 min"]);
  assert.deepEqual([0, 3_200, 14_000, 61_000, 7_300_000].map(formatAge), ["now", "3 s ago", "10 s ago", "1 min ago", "2 h ago"]);
  assert.deepEqual([84 * 2 ** 20, 1.25 * 2 ** 30].map(formatBytes), ["84 MB", "1.3 GB"]);
  assert.deepEqual([0, 0.04, 3.14, 9.96, 120.4].map(formatPercent), ["0 %", "0 %", "3.1 %", "10 %", "120 %"]);
});

test("names, paths and addresses", () => {
  assert.equal(counted(1, "file"), "1 file");
  assert.equal(counted(1200, "file"), "1,200 files");
  assert.equal(someOf(["a", "b", "c", "d"], 2), "a, b and 2 more");
  assert.equal(pathEnd("backend/app/routes/todos.py"), "routes/todos.py");
  assert.equal(shortUrl("http://localhost:8080/"), "localhost:8080");
});

test("only plain http and https addresses become links", () => {
  assert.ok(isSafeUrl("http://localhost:8080/"));
  assert.ok(isSafeUrl("https://[::1]:8443/admin"));
  for (const url of ["javascript:alert(1)", "data:text/html,x", "http://a b/", 'http://a/"', "file:///etc/passwd", "//evil"]) assert.ok(!isSafeUrl(url), url);
});
