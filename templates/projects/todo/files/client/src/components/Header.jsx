export default function Header({ children }) {
  return (
    <header className="header">
      <h1>Todos</h1>
      {children}
    </header>
  );
}
