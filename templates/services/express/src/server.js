import express from "express";

const app = express();

app.get("/", (request, response) => response.json({ hello: "from {{ name }}" }));
app.get("/health", (request, response) => response.json({ status: "ok" }));

const server = app.listen(3000, "0.0.0.0");

process.once("SIGTERM", () => {
  server.close();
  server.closeIdleConnections();
});
