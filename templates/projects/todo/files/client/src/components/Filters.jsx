import { FILTERS } from '../filters.js';

export default function Filters({ todos, chosen, onChoose }) {
  const left = todos.filter((todo) => !todo.done).length;

  return (
    <footer className="filters">
      <p role="status">{left === 1 ? '1 todo left' : `${left} todos left`}</p>
      <div role="group" aria-label="Show" className="choices">
        {FILTERS.map(({ name }) => (
          <button key={name} type="button" aria-pressed={name === chosen} onClick={() => onChoose(name)}>
            {name}
          </button>
        ))}
      </div>
    </footer>
  );
}
