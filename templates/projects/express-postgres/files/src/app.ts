import express, { type Express } from "express";

import type { Notes } from "./notes.ts";

const GREETING = "Hello from Express";
const LONGEST = 500;

export function createApp(notes: Notes): Express {
  const app = express();
  app.disable("x-powered-by");
  app.use(express.static("public"));
  app.use(express.json());

  app.get("/api/greeting", (_request, response) => {
    response.json({ message: GREETING });
  });

  app.get("/health", async (_request, response) => {
    await notes.check();
    response.json({ status: "ok" });
  });

  app.get("/api/notes", async (_request, response) => {
    response.json(await notes.all());
  });

  app.post("/api/notes", async (request, response) => {
    const text: unknown = request.body?.text;
    if (typeof text !== "string" || text.length === 0 || text.length > LONGEST) {
      response.status(422).json({ error: `text is to have 1 to ${LONGEST} characters` });
      return;
    }
    response.status(201).json(await notes.add(text));
  });

  app.delete("/api/notes/:id", async (request, response) => {
    const id = Number(request.params.id);
    const removed = Number.isSafeInteger(id) && (await notes.remove(id));
    response.sendStatus(removed ? 204 : 404);
  });

  return app;
}
