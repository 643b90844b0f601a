import { fileURLToPath } from 'node:url';

const pathFromHere = (relative) => fileURLToPath(new URL(relative, import.meta.url));

/** The settings of this server, read from environment variables; every one has a default. */
export function readConfig(env) {
  return {
    port: Number(env.PORT ?? 3000),
    address: env.BIND_ADDRESS ?? '127.0.0.1',
    staticFolder: env.STATIC_FOLDER ?? pathFromHere('../public'),
    sqliteFile: env.SQLITE_FILE ?? pathFromHere('../data/todos.sqlite'),
    mysql: env.MYSQL_HOST ? readMysql(env) : undefined,
  };
}

function readMysql(env) {
  return {
    host: env.MYSQL_HOST,
    port: Number(env.MYSQL_PORT ?? 3306),
    user: env.MYSQL_USER ?? 'todo',
    password: env.MYSQL_PASSWORD ?? '',
    database: env.MYSQL_DATABASE ?? 'todo',
  };
}
