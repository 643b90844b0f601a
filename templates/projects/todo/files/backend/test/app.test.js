import assert from 'node:assert/strict';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { greeting } from '../src/greeting.js';
import { startServer } from './server.js';

const brokenStore = (error) => ({
  list: () => Promise.reject(error),
  ping: () => Promise.reject(error),
  close: () => Promise.resolve(),
});

test('the greeting is answered', async (t) => {
  const { call } = await startServer(t);
  const { status, body } = await call('GET', '/api/greeting');
  assert.equal(status, 200);
  assert.deepEqual(body, { greeting });
});

test('a server with a working store is healthy', async (t) => {
  const { call } = await startServer(t);
  const { status, body } = await call('GET', '/api/health');
  assert.equal(status, 200);
  assert.deepEqual(body, { status: 'ok' });
});

test('without its database the server says so, to the caller and in its log', async (t) => {
  const error = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' });
  const { call, logged } = await startServer(t, { store: brokenStore(error) });
  for (const path of ['/api/health', '/api/todos']) {
    const answer = await call('GET', path);
    assert.equal(answer.status, 503);
    assert.deepEqual(answer.body, { error: 'The database does not answer. Please try again in a moment.' });
  }
  assert.deepEqual(
    logged.map(([what, cause]) => [what, cause]),
    [
      ['GET /api/health:', error],
      ['GET /api/todos:', error],
    ],
  );
});

test('an unexpected error keeps its details in the log', async (t) => {
  const { call, logged } = await startServer(t, { store: brokenStore(new Error('secret')) });
  const { status, body } = await call('GET', '/api/todos');
  assert.equal(status, 500);
  assert.deepEqual(body, { error: 'Something went wrong in the backend; its log says more.' });
  assert.equal(logged.length, 1);
});

test('an unknown address below /api is a JSON 404', async (t) => {
  const { call } = await startServer(t);
  const { status, body } = await call('GET', '/api/nothing');
  assert.equal(status, 404);
  assert.deepEqual(body, { error: 'There is no GET /api/nothing.' });
});

test('a body of more than 100 kB is refused', async (t) => {
  const { call } = await startServer(t);
  const { status, body } = await call('POST', '/api/todos', { title: 'x'.repeat(110_000) });
  assert.equal(status, 413);
  assert.deepEqual(body, { error: 'The body is too large.' });
});

test('the built client is served where there is one', async (t) => {
  const staticFolder = await mkdtemp(join(tmpdir(), 'todo-static-'));
  t.after(() => rm(staticFolder, { recursive: true }));
  await writeFile(join(staticFolder, 'index.html'), '<h1>Todos</h1>');
  const { call } = await startServer(t, { staticFolder });
  assert.equal((await call('GET', '/')).body, '<h1>Todos</h1>');
  assert.equal((await call('GET', '/api/health')).status, 200);
});

test('a missing static folder is no error', async (t) => {
  const { call } = await startServer(t, { staticFolder: '/no/such/folder' });
  assert.equal((await call('GET', '/')).status, 404);
  assert.equal((await call('GET', '/api/health')).status, 200);
});
