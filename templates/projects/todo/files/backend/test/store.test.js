import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { readConfig } from '../src/config.js';
import { openStore } from '../src/store/index.js';

test('todos are still there when the SQLite file is opened again', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'todo-store-'));
  t.after(() => rm(folder, { recursive: true }));
  const config = readConfig({ SQLITE_FILE: join(folder, 'new', 'todos.sqlite') });

  const first = await openStore(config);
  await first.add('Buy milk');
  await first.change(1, { done: true });
  await first.close();

  const second = await openStore(config);
  t.after(() => second.close());
  assert.deepEqual(await second.list(), [{ id: 1, title: 'Buy milk', done: true }]);
});

test('MySQL is used when, and only when, MYSQL_HOST is set', () => {
  assert.equal(readConfig({ MYSQL_USER: 'someone' }).mysql, undefined);
  assert.deepEqual(readConfig({ MYSQL_HOST: 'db', MYSQL_PORT: '3307', MYSQL_PASSWORD: 'x' }).mysql, {
    host: 'db',
    port: 3307,
    user: 'todo',
    password: 'x',
    database: 'todo',
  });
});
