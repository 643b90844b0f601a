import { useRef, useState } from 'react';
import Filters from './components/Filters.jsx';
import Greeting from './components/Greeting.jsx';
import Header from './components/Header.jsx';
import NewTodo from './components/NewTodo.jsx';
import Problem from './components/Problem.jsx';
import TodoList from './components/TodoList.jsx';
import { FILTERS } from './filters.js';
import { useTodos } from './useTodos.js';

export default function App() {
  const { todos, problem, news, load, add, tick, rename, remove, dismiss } = useTodos();
  const [chosen, setChosen] = useState('All');
  const filter = FILTERS.find(({ name }) => name === chosen);
  const main = useRef(null);

  return (
    <div className="page">
      <Header>
        <Greeting />
      </Header>
      <main className="card" ref={main} tabIndex={-1}>
        <NewTodo onAdd={add} />
        <Problem text={problem} onRetry={todos ? undefined : load} onDismiss={dismiss} />
        {todos && (
          <>
            <TodoList
              todos={todos.filter(filter.shows)}
              none={todos.length > 0 ? filter.none : FILTERS[0].none}
              onTick={tick}
              onRename={rename}
              onRemove={remove}
              onEmptied={() => main.current.focus()}
            />
            <Filters todos={todos} chosen={chosen} onChoose={setChosen} />
          </>
        )}
        {!todos && !problem && <p className="hint">Loading …</p>}
        <p className="visually-hidden" aria-live="polite">
          {news}
        </p>
      </main>
    </div>
  );
}
