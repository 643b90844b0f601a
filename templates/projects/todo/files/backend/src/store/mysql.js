import { createPool } from 'mysql2/promise';

const TABLE = `
  CREATE TABLE IF NOT EXISTS todos (
    id INT AUTO_INCREMENT PRIMARY KEY,
    title VARCHAR(200) NOT NULL,
    done BOOLEAN NOT NULL DEFAULT FALSE
  ) CHARACTER SET utf8mb4`;

const toTodo = ({ id, title, done }) => ({ id, title, done: Boolean(done) });

/** Todos in a MySQL database; the table is made on first use, so the server can start before the database. */
export class MysqlStore {
  #pool;
  #tableMade;

  constructor(settings) {
    this.#pool = createPool({ ...settings, connectionLimit: 5, connectTimeout: 5_000 });
  }

  async list() {
    const [rows] = await this.#run('SELECT id, title, done FROM todos ORDER BY id');
    return rows.map(toTodo);
  }

  async add(title) {
    const [{ insertId }] = await this.#run('INSERT INTO todos (title) VALUES (?)', [title]);
    return { id: insertId, title, done: false };
  }

  async change(id, { title, done }) {
    await this.#run('UPDATE todos SET title = COALESCE(?, title), done = COALESCE(?, done) WHERE id = ?', [
      title ?? null,
      done ?? null,
      id,
    ]);
    const [[row]] = await this.#run('SELECT id, title, done FROM todos WHERE id = ?', [id]);
    return row && toTodo(row);
  }

  async remove(id) {
    const [{ affectedRows }] = await this.#run('DELETE FROM todos WHERE id = ?', [id]);
    return affectedRows > 0;
  }

  async ping() {
    await this.#run('SELECT 1');
  }

  async close() {
    await this.#pool.end();
  }

  async #run(statement, values = []) {
    await this.#makeTable();
    return this.#pool.execute(statement, values);
  }

  async #makeTable() {
    this.#tableMade ??= this.#pool.query(TABLE);
    try {
      await this.#tableMade;
    } catch (error) {
      // Forgotten, so that the next request tries again: the database may only be starting.
      this.#tableMade = undefined;
      throw error;
    }
  }
}
