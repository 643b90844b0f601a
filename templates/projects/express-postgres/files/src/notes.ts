import pg from "pg";

export interface Note {
  id: number;
  text: string;
}

export interface Notes {
  all(): Promise<Note[]>;
  add(text: string): Promise<Note>;
  remove(id: number): Promise<boolean>;
  check(): Promise<void>;
  close(): Promise<void>;
}

const SCHEMA = `CREATE TABLE IF NOT EXISTS notes (
  id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  text text NOT NULL
)`;

/** The notes in PostgreSQL; where it is, the variables PGHOST, PGUSER, ... say. */
export async function createNotes(): Promise<Notes> {
  const pool = new pg.Pool();
  pool.on("error", (error) => console.error(`database: ${error.message}`));
  await pool.query(SCHEMA);
  return {
    async all() {
      return (await pool.query<Note>("SELECT id, text FROM notes ORDER BY id")).rows;
    },
    async add(text) {
      const { rows } = await pool.query<Note>("INSERT INTO notes (text) VALUES ($1) RETURNING id, text", [text]);
      return rows[0]!;
    },
    async remove(id) {
      return (await pool.query("DELETE FROM notes WHERE id = $1", [id])).rowCount === 1;
    },
    async check() {
      await pool.query("SELECT 1");
    },
    close: () => pool.end(),
  };
}
