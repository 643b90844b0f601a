"""The program that a command runs, and how it handles changed files."""

from __future__ import annotations

import json

import pytest

from devenv.scaffold.add.programs import Way, default_command, program, start_scripts

SCRIPTS = {
    "start": "react-scripts start",
    "dev": "run-p dev:*",
    "dev:server": "cross-env PORT=1 node --watch server.js",
    "dev:client": "vite",
    "both": 'concurrently -k "npm:dev:client" "tsc -w"',
    "serve": "npm run build && node dist/server.js",
    "build": "vite build",
    "again": "npm run again",
    "watch:css": "sass --watch a:b",
}
FILES = {
    "/app/package.json": json.dumps({"scripts": SCRIPTS}),
    "/app/client/package.json": json.dumps({"scripts": {"start": "ng serve"}}),
    "/app/start.sh": '#!/bin/sh\n# flask --debug run\npip install nodemon\npython manage.py migrate; exec "$@"\n',
    "/app/bin/dev": "#!/usr/bin/env bash\n./bin/dev\nexec uvicorn app:app --reload\n",
    "/app/main.py": "import uvicorn\n# debug=True\nuvicorn.run(\n    'main:app',\n    reload = True)\n",
    "/app/app.py": "app.run(host='0.0.0.0')\n",
}


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("npm start", "react-scripts start"),
        ("npm run serve", ""),
        ("npm run again", ""),
        ("npm run missing", ""),
        ("yarn --silent both", "vite"),
        ("pnpm run watch:css", "sass --watch"),
        ("npm --prefix client start", "ng serve"),
        ("yarn --cwd client start", "ng serve"),
        ("cd client && npm run dev-server", ""),
        ("pnpm dlx vite preview", ""),
        ("npx next dev --turbo", "next dev"),
        ("npx next start", ""),
        ("node_modules/.bin/nuxt dev", "nuxt dev"),
        ("astro dev --host", "astro dev"),
        ("vue-cli-service serve", "vue-cli-service serve"),
        ("nodemon --exec ts-node src/x.ts", "nodemon"),
        ("tsx watch src/x.ts", "tsx watch"),
        ("ts-node-dev --respawn x.ts", "ts-node-dev"),
        ("node server.js", ""),
        ("npm install -g nodemon && node server.js", ""),
        ("flask --app x run --debug", "flask --debug"),
        ("flask run", ""),
        ("gunicorn app:app", ""),
        ("gunicorn --reload app:app", "gunicorn --reload"),
        ("python -m uvicorn app:app --reload", "uvicorn --reload"),
        ("fastapi dev main.py", "fastapi dev"),
        ("./manage.py runserver 0:8000", "manage.py runserver"),
        ("python manage.py runserver --noreload", ""),
        ("python main.py", "main.py reload=True"),
        ("python app.py", ""),
        ("watchmedo auto-restart -- celery -A x worker", "watchmedo"),
        ("watchfiles 'python -m worker' worker", "watchfiles"),
        ("celery -A x worker", ""),
        ("bundle exec rails s -b 0.0.0.0", "rails s"),
        ("iex -S mix phx.server", "mix phx.server"),
        ("air -c .air.toml", "air"),
        ("cargo watch -x run", "cargo watch"),
        ("dotnet watch run", "dotnet watch"),
        ("/app/start.sh nodemon x.js", "nodemon"),
        ("/app/start.sh node x.js", ""),
        ("/app/bin/dev", "uvicorn --reload"),
        ("sh -c 'while ! nc -z db 5432; do sleep 1; done; uvicorn a:b --reload'", "uvicorn --reload"),
    ],
)
def test_reloading_programs_are_recognized(command: str, words: str) -> None:
    """They are recognized behind scripts of package.json, start scripts and wrappers, too."""
    runs = program(command, "/app", {}, FILES.get)
    assert (runs.words if runs and runs.way is Way.RELOADS else "") == words


@pytest.mark.parametrize(
    ("command", "way"),
    [
        ("node --watch server.js", Way.LOSES),
        ("node --watch-path=./src server.js", Way.LOSES),
        ("npm run dev", Way.LOSES),
        ("tsx --watch x.ts", Way.LOSES),
        ("go run .", Way.COMPILES),
        ("cargo run --offline", Way.COMPILES),
        ("mvn spring-boot:run", Way.COMPILES),
        ("php -S 0.0.0.0:80", Way.READS),
        ("php artisan serve", Way.READS),
        ("php worker.php", None),
        ("nginx -g daemon off;", Way.SERVES),
        ("sleep infinity", Way.IDLES),
        ("sleep 5 && node x.js", None),
    ],
)
def test_compiling_and_reading_programs_are_recognized(command: str, way: Way | None) -> None:
    """Node's own watcher loses files that are renamed over others; other programs compile or read the files."""
    runs = program(command, "/app", {}, FILES.get)
    assert (runs.way if runs else None) is way


@pytest.mark.parametrize(
    ("command", "variables", "reloads"),
    [
        ("flask run", {"FLASK_DEBUG": "1"}, True),
        ("flask run", {"FLASK_DEBUG": "false"}, False),
        ("flask run", {"FLASK_ENV": "development"}, False),
        ("rails server", {"RAILS_ENV": "production"}, False),
        ("mix phx.server", {"MIX_ENV": "prod"}, False),
        ("npm run dev", {}, True),
        ("npm start", {}, False),
    ],
)
def test_variables_and_names_decide(command: str, variables: dict[str, str], reloads: bool) -> None:
    """Without a package.json, a script is known by its name alone."""
    runs = program(command, "/", variables, lambda _: None)
    assert (runs is not None and runs.way is Way.RELOADS) == reloads


@pytest.mark.parametrize(
    ("requirements", "reloads"),
    [
        ("Flask==2.0.1\n", True),
        ("redis\nflask<2.3", True),
        ("flask", False),
        ("flask==2.3.2", False),
        ("x-flask==1.0", False),
    ],
)
def test_only_an_old_flask_heeds_flask_env(requirements: str, reloads: bool) -> None:
    """Flask 2.3 has dropped the variable: without a restart, a save would never be loaded."""
    runs = program("flask run", "/app", {"FLASK_ENV": "development"}, {"/app/requirements.txt": requirements}.get)
    assert (runs is not None and runs.way is Way.RELOADS) == reloads


def test_start_scripts_and_images() -> None:
    """Shell scripts among the words of a command; what an image runs by itself."""
    assert start_scripts("./start.sh node /app/bin/dev app.py", "/app", FILES.get) == [
        "/app/start.sh",
        "/app/bin/dev",
    ]
    assert default_command("docker.io/library/php:8-apache@sha256:0") == "apache2-foreground"
    assert (default_command("nginx"), default_command("php:8-cli"), default_command("node:22")) == ("nginx", "", "")
