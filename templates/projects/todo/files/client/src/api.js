/** Asks the backend; resolves to the answer's JSON, or throws an Error whose message can be shown to people. */
async function ask(method, path, body) {
  const options = { method };
  if (body) {
    options.headers = { 'Content-Type': 'application/json' };
    options.body = JSON.stringify(body);
  }
  const response = await fetch(`/api${path}`, options).catch(() => {
    throw new Error('The backend cannot be reached.');
  });
  const answer = await response.json().catch(() => undefined);
  if (!response.ok) throw new Error(answer?.error ?? `The backend answered with the status ${response.status}.`);
  return answer;
}

export const fetchGreeting = () => ask('GET', '/greeting').then(({ greeting }) => greeting);
export const fetchTodos = () => ask('GET', '/todos');
export const createTodo = (title) => ask('POST', '/todos', { title });
export const changeTodo = (id, change) => ask('PATCH', `/todos/${id}`, change);
export const deleteTodo = (id) => ask('DELETE', `/todos/${id}`);
