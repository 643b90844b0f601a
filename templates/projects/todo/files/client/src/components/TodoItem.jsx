import { useEffect, useRef, useState } from 'react';
import Icon from './Icon.jsx';
import TodoEditor from './TodoEditor.jsx';

export default function TodoItem({ todo, onTick, onRename, onRemove }) {
  const [editing, setEditing] = useState(false);
  const wasEditing = useRef(false);
  const editButton = useRef(null);
  const id = `todo-${todo.id}`;

  useEffect(() => {
    if (wasEditing.current && !editing) editButton.current.focus();
    wasEditing.current = editing;
  }, [editing]);

  async function save(title) {
    if (title.trim() === todo.title || (await onRename(title))) setEditing(false);
  }

  if (editing) {
    return (
      <li className="todo">
        <TodoEditor title={todo.title} onSave={save} onCancel={() => setEditing(false)} />
      </li>
    );
  }
  return (
    <li className={todo.done ? 'todo done' : 'todo'}>
      <input id={id} type="checkbox" checked={todo.done} onChange={(event) => onTick(event.target.checked)} />
      <label htmlFor={id}>{todo.title}</label>
      <button
        ref={editButton}
        type="button"
        className="icon-button"
        aria-label={`Edit ${todo.title}`}
        title="Edit"
        onClick={() => setEditing(true)}
      >
        <Icon name="edit" />
      </button>
      <button
        type="button"
        className="icon-button"
        aria-label={`Remove ${todo.title}`}
        title="Remove"
        onClick={onRemove}
      >
        <Icon name="remove" />
      </button>
    </li>
  );
}
