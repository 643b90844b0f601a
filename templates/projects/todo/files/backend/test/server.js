import { once } from 'node:events';
import { createApp } from '../src/app.js';
import { SqliteStore } from '../src/store/sqlite.js';

/**
 * Starts the application on a free port, on an empty store in memory unless another one is given; stops it after
 * the test. Returns `call(method, path, body)`, which resolves to `{status, body, headers}`, and what was `logged`.
 */
export async function startServer(t, { store = new SqliteStore(':memory:'), staticFolder } = {}) {
  const logged = [];
  const app = createApp({ store, staticFolder, log: (...words) => logged.push(words) });
  const server = app.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    await store.close();
  });
  const address = `http://127.0.0.1:${server.address().port}`;

  async function call(method, path, body) {
    const options = { method };
    if (body !== undefined) {
      options.headers = { 'Content-Type': 'application/json' };
      options.body = typeof body === 'string' ? body : JSON.stringify(body);
    }
    const response = await fetch(address + path, options);
    const text = await response.text();
    const isJson = response.headers.get('content-type')?.includes('json');
    return { status: response.status, body: isJson ? JSON.parse(text) : text, headers: response.headers };
  }
  return { call, logged };
}
