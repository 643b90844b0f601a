import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startServer } from './server.js';

test('a new list is empty', async (t) => {
  const { call } = await startServer(t);
  const { status, body } = await call('GET', '/api/todos');
  assert.equal(status, 200);
  assert.deepEqual(body, []);
});

test('an added todo is answered with its address and is in the list', async (t) => {
  const { call } = await startServer(t);
  const { status, body, headers } = await call('POST', '/api/todos', { title: '  Buy milk 🥛 ' });
  assert.equal(status, 201);
  assert.deepEqual(body, { id: 1, title: 'Buy milk 🥛', done: false });
  assert.equal(headers.get('location'), '/api/todos/1');
  assert.deepEqual((await call('GET', '/api/todos')).body, [body]);
});

test('todos are listed in the order in which they were added', async (t) => {
  const { call } = await startServer(t);
  for (const title of ['c', 'a', 'b']) await call('POST', '/api/todos', { title });
  await call('PATCH', '/api/todos/1', { done: true });
  const { body } = await call('GET', '/api/todos');
  assert.deepEqual(
    body.map((todo) => todo.title),
    ['c', 'a', 'b'],
  );
});

test('ticking keeps the title, and renaming keeps the tick', async (t) => {
  const { call } = await startServer(t);
  await call('POST', '/api/todos', { title: 'Buy milk' });
  const ticked = await call('PATCH', '/api/todos/1', { done: true });
  assert.deepEqual(ticked.body, { id: 1, title: 'Buy milk', done: true });
  const renamed = await call('PATCH', '/api/todos/1', { title: 'Buy bread' });
  assert.deepEqual(renamed.body, { id: 1, title: 'Buy bread', done: true });
  const unticked = await call('PATCH', '/api/todos/1', { done: false });
  assert.deepEqual(unticked.body, { id: 1, title: 'Buy bread', done: false });
  assert.deepEqual((await call('GET', '/api/todos')).body, [unticked.body]);
});

test('a removed todo is gone, the others stay, and its id is not given again', async (t) => {
  const { call } = await startServer(t);
  await call('POST', '/api/todos', { title: 'first' });
  await call('POST', '/api/todos', { title: 'second' });
  assert.equal((await call('DELETE', '/api/todos/2')).status, 204);
  const { body } = await call('POST', '/api/todos', { title: 'third' });
  assert.equal(body.id, 3);
  const titles = (await call('GET', '/api/todos')).body.map((todo) => todo.title);
  assert.deepEqual(titles, ['first', 'third']);
});

test('a todo that does not exist can be neither changed nor removed', async (t) => {
  const { call } = await startServer(t);
  const expected = { error: 'There is no todo with the id 7.' };
  for (const [method, body] of [['PATCH', { done: true }], ['DELETE']]) {
    const answer = await call(method, '/api/todos/7', body);
    assert.equal(answer.status, 404);
    assert.deepEqual(answer.body, expected);
  }
});

const REFUSED = [
  ['POST', '/api/todos', undefined, 'Send a JSON object, with the header "Content-Type: application/json".'],
  ['POST', '/api/todos', [], 'Send a JSON object, with the header "Content-Type: application/json".'],
  ['POST', '/api/todos', '{"title":', 'The body is not valid JSON.'],
  ['POST', '/api/todos', {}, 'The title must be a text.'],
  ['POST', '/api/todos', { title: 5 }, 'The title must be a text.'],
  ['POST', '/api/todos', { title: ' \n' }, 'The title must not be empty.'],
  ['POST', '/api/todos', { title: 'x'.repeat(201) }, 'The title must not be longer than 200 characters.'],
  ['POST', '/api/todos', { title: 'x', id: 9 }, 'There is no field "id" to set.'],
  ['PATCH', '/api/todos/1', {}, 'Send a "title", a "done", or both.'],
  ['PATCH', '/api/todos/1', { done: 'yes' }, '"done" must be true or false.'],
  ['PATCH', '/api/todos/1', { title: '' }, 'The title must not be empty.'],
  ['PATCH', '/api/todos/one', { done: true }, '"one" is not the id of a todo.'],
  ['DELETE', '/api/todos/-1', undefined, '"-1" is not the id of a todo.'],
];

for (const [method, path, body, error] of REFUSED) {
  const shown = JSON.stringify(body)?.slice(0, 30);
  test(`${method} ${path} with ${shown} is refused and changes nothing`, async (t) => {
    const { call } = await startServer(t);
    await call('POST', '/api/todos', { title: 'kept' });
    const answer = await call(method, path, body);
    assert.equal(answer.status, 400);
    assert.deepEqual(answer.body, { error });
    assert.deepEqual((await call('GET', '/api/todos')).body, [{ id: 1, title: 'kept', done: false }]);
  });
}

test('a title may have 200 characters, however they are encoded', async (t) => {
  const { call } = await startServer(t);
  const title = '🥛'.repeat(200);
  assert.equal((await call('POST', '/api/todos', { title })).body.title, title);
});
