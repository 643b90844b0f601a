import { useEffect, useState } from 'react';
import { fetchGreeting } from '../api.js';

export default function Greeting() {
  const [greeting, setGreeting] = useState('');
  const [problem, setProblem] = useState('');

  useEffect(() => {
    fetchGreeting().then(setGreeting, (error) => setProblem(`There is no greeting: ${error.message}`));
  }, []);

  return (
    <p className="greeting" data-testid="greeting">
      {greeting || problem}
    </p>
  );
}
