// The app against a real database, in a schema of its own (PGOPTIONS in compose.yml).
import assert from "node:assert/strict";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, test } from "node:test";

import pg from "pg";

import { createApp } from "../src/app.ts";
import { createNotes, type Notes } from "../src/notes.ts";

let notes: Notes;
let server: Server;
let url: string;

before(async () => {
  await schema("CREATE SCHEMA IF NOT EXISTS test");
  notes = await createNotes();
  server = createApp(notes).listen(0);
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/api/notes`;
});

after(async () => {
  server.close();
  server.closeAllConnections();
  await notes.close();
  await schema("DROP SCHEMA test CASCADE");
});

test("a note is added, listed and removed", async () => {
  const note = await (await add({ text: "water the plants" })).json();
  assert.deepEqual(await (await fetch(url)).json(), [note]);
  assert.equal((await fetch(`${url}/${note.id}`, { method: "DELETE" })).status, 204);
  assert.deepEqual(await (await fetch(url)).json(), []);
});

test("an empty note is refused", async () => {
  assert.equal((await add({ text: "" })).status, 422);
});

test("a note that is not there cannot be removed", async () => {
  assert.equal((await fetch(`${url}/0`, { method: "DELETE" })).status, 404);
});

function add(note: { text: string }): Promise<Response> {
  return fetch(url, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(note) });
}

async function schema(statement: string): Promise<void> {
  const client = new pg.Client();
  await client.connect();
  await client.query(statement);
  await client.end();
}
