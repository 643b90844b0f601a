import { useState } from 'react';

export default function NewTodo({ onAdd }) {
  const [title, setTitle] = useState('');
  const [adding, setAdding] = useState(false);

  async function submit(event) {
    event.preventDefault();
    if (adding || title.trim() === '') return;
    setAdding(true);
    const added = await onAdd(title);
    setAdding(false);
    if (added) setTitle('');
  }

  return (
    <form className="new-todo" onSubmit={submit}>
      <label htmlFor="new-todo">New todo</label>
      <div className="row">
        <input
          id="new-todo"
          value={title}
          onChange={(event) => setTitle(event.target.value)}
          placeholder="What needs doing?"
          maxLength={200}
          autoComplete="off"
          enterKeyHint="done"
        />
        <button type="submit" className="primary">
          Add
        </button>
      </div>
    </form>
  );
}
