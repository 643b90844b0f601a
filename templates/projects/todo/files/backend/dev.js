// Runs src/index.js and starts it anew when a file below src changes.
// Not `node --watch`: that one loses sight of a file which an editor or a sync tool replaces by a rename.
import { spawn } from 'node:child_process';
import { readdirSync, statSync, watch } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const SOURCES = fileURLToPath(new URL('./src', import.meta.url));
const SETTLE_MS = 15;
const KILL_AFTER_MS = 4_000;

let watchers = [];
let timer;
let server;
let seen = lookAtSources();
let restarting = false;
let stopping = false;

/** One text that differs when a source file was changed, added or removed; all folders are watched from then on. */
function lookAtSources() {
  // Anew each time, since a folder may have been replaced by another one of the same name.
  for (const watcher of watchers) watcher.close();
  watchers = [];
  const folders = [SOURCES];
  const states = [];
  for (const folder of folders) {
    watchFolder(folder);
    for (const entry of entriesOf(folder)) {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) folders.push(path);
      else if (/\.(js|mjs|json)$/.test(entry.name)) states.push(stateOf(path));
    }
  }
  return states.join('\n');
}

function watchFolder(folder) {
  try {
    const watcher = watch(folder, hearOfChange);
    watcher.on('error', hearOfChange);
    watchers.push(watcher);
  } catch (error) {
    if (error.code !== 'ENOENT') throw error;
  }
}

function entriesOf(folder) {
  try {
    return readdirSync(folder, { withFileTypes: true });
  } catch {
    return [];
  }
}

function stateOf(path) {
  const stat = statSync(path, { throwIfNoEntry: false, bigint: true });
  return `${path} ${stat?.ino} ${stat?.size} ${stat?.mtimeNs}`;
}

function hearOfChange() {
  timer ??= setTimeout(restartIfChanged, SETTLE_MS);
}

async function restartIfChanged() {
  timer = undefined;
  if (restarting || stopping) return;
  restarting = true;
  for (let now = lookAtSources(); now !== seen && !stopping; now = lookAtSources()) {
    seen = now;
    await end(server);
    if (!stopping) start();
  }
  restarting = false;
}

function start() {
  server = spawn(process.execPath, [join(SOURCES, 'index.js')], { stdio: 'inherit' });
  server.once('exit', (code) => {
    if (code) console.error('The server has stopped; it starts again when a file below src changes.');
  });
}

function end(child) {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  child.kill('SIGTERM');
  const killer = setTimeout(() => child.kill('SIGKILL'), KILL_AFTER_MS);
  return new Promise((resolve) => {
    child.once('exit', () => {
      clearTimeout(killer);
      resolve();
    });
  });
}

async function stop() {
  stopping = true;
  await end(server);
  process.exit(0);
}

process.once('SIGTERM', stop);
process.once('SIGINT', stop);
start();
