/**
 * Opens the store that the configuration asks for: MySQL where a host is named, SQLite otherwise.
 *
 * A store has `list`, `add`, `change`, `remove`, `ping` and `close`. A todo is `{id, title, done}`;
 * `change` returns undefined and `remove` false where there is no such todo.
 */
export async function openStore({ mysql, sqliteFile }) {
  if (mysql) {
    const { MysqlStore } = await import('./mysql.js');
    return new MysqlStore(mysql);
  }
  const { SqliteStore } = await import('./sqlite.js');
  return new SqliteStore(sqliteFile);
}
