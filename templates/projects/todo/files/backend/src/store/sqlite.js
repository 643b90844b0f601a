import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

const TABLE = `
  CREATE TABLE IF NOT EXISTS todos (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    title TEXT NOT NULL,
    done INTEGER NOT NULL DEFAULT 0
  )`;

const toTodo = ({ id, title, done }) => ({ id, title, done: Boolean(done) });

/** Todos in one SQLite file, or in memory for the file name `:memory:`. */
export class SqliteStore {
  #database;

  constructor(file) {
    if (file !== ':memory:') mkdirSync(dirname(file), { recursive: true });
    this.#database = new DatabaseSync(file);
    this.#database.exec(TABLE);
  }

  async list() {
    return this.#database.prepare('SELECT id, title, done FROM todos ORDER BY id').all().map(toTodo);
  }

  async add(title) {
    const { lastInsertRowid } = this.#database.prepare('INSERT INTO todos (title) VALUES (?)').run(title);
    return { id: Number(lastInsertRowid), title, done: false };
  }

  async change(id, { title, done }) {
    this.#database
      .prepare('UPDATE todos SET title = COALESCE(?, title), done = COALESCE(?, done) WHERE id = ?')
      .run(title ?? null, done === undefined ? null : Number(done), id);
    const row = this.#database.prepare('SELECT id, title, done FROM todos WHERE id = ?').get(id);
    return row && toTodo(row);
  }

  async remove(id) {
    return this.#database.prepare('DELETE FROM todos WHERE id = ?').run(id).changes > 0;
  }

  async ping() {
    this.#database.prepare('SELECT 1').get();
  }

  async close() {
    this.#database.close();
  }
}
