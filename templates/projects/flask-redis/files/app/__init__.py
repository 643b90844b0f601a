"""The site: pages, and a counter of visits in Redis."""

import os

from flask import Flask, render_template
from redis import Redis

GREETING = "Hello from Flask"


def create_app() -> Flask:
    app = Flask(__name__)
    app.config.from_prefixed_env()
    redis = Redis.from_url(os.environ["REDIS_URL"], decode_responses=True)

    @app.get("/")
    def index() -> str:
        visits = redis.incr("visits")
        title = os.environ.get("SITE_TITLE", "My site")
        return render_template("index.html", title=title, greeting=GREETING, visits=visits)

    @app.get("/health")
    def health() -> dict[str, str]:
        redis.ping()
        return {"status": "ok"}

    return app
