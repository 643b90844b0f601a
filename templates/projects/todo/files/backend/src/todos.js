import { Router } from 'express';
import { HttpError } from './errors.js';
import { parseChange, parseId, parseNewTodo } from './validate.js';

/** The routes below /api/todos, on the given store. */
export function todoRoutes(store) {
  const routes = Router();

  routes.get('/', async (request, response) => {
    response.json(await store.list());
  });

  routes.post('/', async (request, response) => {
    const { title } = parseNewTodo(request.body);
    const todo = await store.add(title);
    response.status(201).location(`/api/todos/${todo.id}`).json(todo);
  });

  routes.patch('/:id', async (request, response) => {
    const id = parseId(request.params.id);
    const todo = await store.change(id, parseChange(request.body));
    if (!todo) throw noSuchTodo(id);
    response.json(todo);
  });

  routes.delete('/:id', async (request, response) => {
    const id = parseId(request.params.id);
    if (!(await store.remove(id))) throw noSuchTodo(id);
    response.status(204).end();
  });

  return routes;
}

const noSuchTodo = (id) => new HttpError(404, `There is no todo with the id ${id}.`);
