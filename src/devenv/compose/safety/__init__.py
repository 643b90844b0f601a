"""What of a project reaches beyond its own containers: two tables, and the facts they need."""
