import { createApp } from "./app.ts";
import { createNotes } from "./notes.ts";

const port = Number(process.env.PORT ?? 3000);
const notes = await createNotes();
const server = createApp(notes).listen(port, () => console.log(`listening on ${port}`));

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.once(signal, () => {
    server.close(() => void notes.close());
    server.closeIdleConnections();
  });
}
