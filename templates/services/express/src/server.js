import express from "express";

const app = express();

app.get("/", (request, response) => response.json({ hello: "from {{ name }}" }));
app.get("/health", (request, response) => response.json({ status: "ok" }));

app.listen(3000, "0.0.0.0");
