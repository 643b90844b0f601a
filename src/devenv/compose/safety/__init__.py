"""Which settings of a project reach beyond its own containers: tables, and the facts that they need."""
