import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const BACKEND = fileURLToPath(new URL('..', import.meta.url));

/** Runs a Node script; `says(pattern)` resolves to the match in its output since the last one, and fails after 5 s. */
function run(t, script, env) {
  const child = spawn(process.execPath, [script], { env: { ...process.env, ...env } });
  t.after(() => child.kill('SIGKILL'));
  let output = '';
  let heard = () => {};
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (data) => {
      output += data;
      heard();
    });
  }
  const says = (pattern) =>
    new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`${pattern} is not in: ${output}`)), 5_000);
      heard = () => {
        const match = output.match(pattern);
        if (!match) return;
        clearTimeout(timer);
        output = output.slice(match.index + match[0].length);
        resolve(match);
      };
      heard();
    });
  return { child, says };
}

/** Replaces a file as editors and sync tools do: a new one beside it, then a rename. */
async function save(path, text) {
  await writeFile(`${path}~`, text);
  await rename(`${path}~`, path);
}

test('SIGTERM ends the server with exit code 0, though a browser keeps its connection open', async (t) => {
  const { child, says } = run(t, join(BACKEND, 'src', 'index.js'), {
    PORT: '0',
    SQLITE_FILE: ':memory:',
    MYSQL_HOST: '',
  });
  const [, address] = await says(/Listening on (http:\S+\d),/);
  assert.equal((await fetch(`${address}/api/todos`)).headers.get('connection'), 'keep-alive');
  child.kill('SIGTERM');
  assert.deepEqual(await once(child, 'exit'), [0, null]);
});

test('the development server starts anew on each kind of save, and survives a syntax error', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'todo-dev-'));
  t.after(() => rm(folder, { recursive: true }));
  const source = join(folder, 'src');
  await mkdir(source);
  await cp(join(BACKEND, 'dev.js'), join(folder, 'dev.mjs'));
  await save(join(folder, 'package.json'), '{"type": "module"}');
  const program = (word) => `console.log('${word}'); setInterval(() => {}, 1000);`;
  await save(join(source, 'index.js'), program('one'));

  const { child, says } = run(t, join(folder, 'dev.mjs'));
  await says(/one/);
  await save(join(source, 'index.js'), program('two'));
  await says(/two/);
  await save(join(source, 'index.js'), 'const = ;');
  await says(/The server has stopped/);
  await save(join(source, 'index.js'), `import './later/new.js';`);
  await says(/The server has stopped/);
  await mkdir(join(source, 'later'));
  await save(join(source, 'later', 'new.js'), program('three'));
  await says(/three/);
  await writeFile(join(source, 'later', 'new.js'), program('four'));
  await says(/four/);

  child.kill('SIGTERM');
  assert.deepEqual(await once(child, 'exit'), [0, null]);
});
