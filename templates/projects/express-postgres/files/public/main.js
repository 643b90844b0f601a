const form = document.getElementById("new");
const list = document.getElementById("notes");

async function show() {
  const notes = await (await fetch("/api/notes")).json();
  list.replaceChildren(
    ...notes.map(({ id, text }) => {
      const item = document.createElement("li");
      const button = document.createElement("button");
      button.textContent = "Remove";
      button.onclick = () => fetch(`/api/notes/${id}`, { method: "DELETE" }).then(show);
      item.append(text, " ", button);
      return item;
    }),
  );
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const text = new FormData(form).get("text");
  await fetch("/api/notes", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ text }),
  });
  form.reset();
  await show();
});

await show();
