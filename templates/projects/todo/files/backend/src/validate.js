import { HttpError } from './errors.js';

export const TITLE_LENGTH = 200;

/** The `{title}` of a new todo, or an HttpError with status 400. */
export function parseNewTodo(body) {
  const { title } = parseObject(body, ['title']);
  return { title: parseTitle(title) };
}

/** What is to change of a todo: `title`, `done` or both; or an HttpError with status 400. */
export function parseChange(body) {
  const given = parseObject(body, ['title', 'done']);
  const change = {};
  if ('title' in given) change.title = parseTitle(given.title);
  if ('done' in given) change.done = parseDone(given.done);
  if (Object.keys(change).length === 0) throw new HttpError(400, 'Send a "title", a "done", or both.');
  return change;
}

/** The id in an address such as /api/todos/7, or an HttpError with status 400. */
export function parseId(text) {
  if (!/^[1-9][0-9]{0,8}$/.test(text)) throw new HttpError(400, `"${text}" is not the id of a todo.`);
  return Number(text);
}

function parseObject(body, allowed) {
  if (body === null || typeof body !== 'object' || Array.isArray(body)) {
    throw new HttpError(400, 'Send a JSON object, with the header "Content-Type: application/json".');
  }
  const unknown = Object.keys(body).find((key) => !allowed.includes(key));
  if (unknown !== undefined) throw new HttpError(400, `There is no field "${unknown}" to set.`);
  return body;
}

function parseTitle(title) {
  if (typeof title !== 'string') throw new HttpError(400, 'The title must be a text.');
  const trimmed = title.trim();
  if (trimmed === '') throw new HttpError(400, 'The title must not be empty.');
  // Counted in characters, as the database does, not in UTF-16 units.
  if ([...trimmed].length > TITLE_LENGTH) {
    throw new HttpError(400, `The title must not be longer than ${TITLE_LENGTH} characters.`);
  }
  return trimmed;
}

function parseDone(done) {
  if (typeof done !== 'boolean') throw new HttpError(400, '"done" must be true or false.');
  return done;
}
