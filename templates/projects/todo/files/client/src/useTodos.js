import { useEffect, useState } from 'react';
import { changeTodo, createTodo, deleteTodo, fetchTodos } from './api.js';

/**
 * The list of todos and what can be done with it.
 *
 * `todos` is undefined until the backend has answered. Each action resolves to whether it succeeded; when it did not,
 * `problem` says why, in a sentence, until the next action. `news` is what just happened, for screen readers.
 */
export function useTodos() {
  const [todos, setTodos] = useState();
  const [problem, setProblem] = useState('');
  const [news, setNews] = useState('');

  async function attempt(action, describe) {
    try {
      const result = await action();
      setProblem('');
      if (describe) setNews(describe(result));
      return true;
    } catch (error) {
      setProblem(error.message);
      return false;
    }
  }

  const replace = (todo) => setTodos((current) => current.map((other) => (other.id === todo.id ? todo : other)));

  const load = () => attempt(async () => setTodos(await fetchTodos()));

  const add = (title) =>
    attempt(
      async () => {
        const todo = await createTodo(title);
        if (todos) setTodos((current) => [...current, todo]);
        else setTodos(await fetchTodos());
        return todo;
      },
      (todo) => `Added ${todo.title}.`,
    );

  const tick = async (todo, done) => {
    // Shown at once and taken back on failure: a tick that waits for the network feels broken.
    replace({ ...todo, done });
    const succeeded = await attempt(
      () => changeTodo(todo.id, { done }),
      () => `${todo.title} is ${done ? 'done' : 'active again'}.`,
    );
    if (!succeeded) replace(todo);
    return succeeded;
  };

  const rename = (todo, title) =>
    attempt(
      async () => replace(await changeTodo(todo.id, { title })),
      () => `Renamed to ${title.trim()}.`,
    );

  const remove = (todo) =>
    attempt(
      async () => {
        await deleteTodo(todo.id);
        setTodos((current) => current.filter((other) => other.id !== todo.id));
      },
      () => `Removed ${todo.title}.`,
    );

  useEffect(() => {
    load();
  }, []);

  return { todos, problem, news, load, add, tick, rename, remove, dismiss: () => setProblem('') };
}
