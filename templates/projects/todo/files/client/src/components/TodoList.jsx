import { useRef } from 'react';
import TodoItem from './TodoItem.jsx';

export default function TodoList({ todos, none, onTick, onRename, onRemove, onEmptied }) {
  const list = useRef(null);

  // An item that goes takes the focus with it; without this, keyboard users would start again at the top of the page.
  function focusInsteadOf(index) {
    const neighbour = todos[index + 1] ?? todos[index - 1];
    if (neighbour) list.current?.querySelector(`#todo-${neighbour.id}`)?.focus();
    else onEmptied();
  }

  async function tick(index, done) {
    await onTick(todos[index], done);
    if (document.activeElement === document.body) focusInsteadOf(index);
  }

  async function remove(index) {
    if (await onRemove(todos[index])) focusInsteadOf(index);
  }

  if (todos.length === 0) return <p className="hint">{none}</p>;
  return (
    <ul className="todos" aria-label="Todos" ref={list}>
      {todos.map((todo, index) => (
        <TodoItem
          key={todo.id}
          todo={todo}
          onTick={(done) => tick(index, done)}
          onRename={(title) => onRename(todo, title)}
          onRemove={() => remove(index)}
        />
      ))}
    </ul>
  );
}
