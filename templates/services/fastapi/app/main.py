"""The service {{ name }}."""

from fastapi import FastAPI

app = FastAPI(title="{{ name }}")


@app.get("/")
def hello() -> dict[str, str]:
    return {"hello": "from {{ name }}"}


@app.get("/health")
def health() -> dict[str, str]:
    return {"status": "ok"}
