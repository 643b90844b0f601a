import { useEffect, useRef, useState } from 'react';

export default function TodoEditor({ title, onSave, onCancel }) {
  const [text, setText] = useState(title);
  const input = useRef(null);

  useEffect(() => input.current.select(), []);

  function submit(event) {
    event.preventDefault();
    if (text.trim() !== '') onSave(text);
  }

  return (
    <form
      className="editor row"
      onSubmit={submit}
      onKeyDown={(event) => {
        if (event.key === 'Escape') onCancel();
      }}
    >
      <input
        ref={input}
        aria-label={`Title of ${title}`}
        value={text}
        onChange={(event) => setText(event.target.value)}
        maxLength={200}
        required
        autoComplete="off"
      />
      <button type="submit" className="primary">
        Save
      </button>
      <button type="button" onClick={onCancel}>
        Cancel
      </button>
    </form>
  );
}
