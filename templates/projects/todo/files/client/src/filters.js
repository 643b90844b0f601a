/** The ways to look at the list: `shows` says whether a todo is in it, `none` is what an empty one says. */
export const FILTERS = [
  { name: 'All', shows: () => true, none: 'Nothing to do yet. Add your first todo above.' },
  { name: 'Active', shows: (todo) => !todo.done, none: 'Nothing left to do. Well done!' },
  { name: 'Done', shows: (todo) => todo.done, none: 'Nothing is done yet.' },
];
