"""What a folder with code is: read from the files that say so. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import field

from devenv.lazy_dataclass import dataclass

READ = frozenset({"package.json", "pyproject.toml", "requirements.txt", "go.mod", "Dockerfile"})
SOURCES = ("*.go", "cmd/*/*.go")  # read too
COMPOSE_FILES = frozenset({"compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml"})
MODULES = ("main.py", "app.py", "app/main.py", "src/main.py", "app/__init__.py")
PYTHON = {
    "django": ("8000", "python manage.py runserver 0.0.0.0:{port}"),
    "fastapi": ("8000", "uvicorn {module}:app --host=0.0.0.0 --port={port} --reload"),
    "flask": ("5000", "flask --app={module} run --host=0.0.0.0 --port={port} --reload"),
}
OLDEST_GO = (1, 24)  # an older one in go.mod is what a newer compiler honours
GO_PORT = "8080"
SCRIPTS = {"vite": ("5173", " -- --host=0.0.0.0"), "": ("3000", "")}


@dataclass(frozen=True, slots=True)
class Stack:
    """The template among `stacks` that suits the folder, and the answers that its files give."""

    template: str
    answers: Mapping[str, str] = field(default_factory=dict)


def stack(files: Mapping[str, str]) -> Stack | str:
    """The stack of a folder, of name -> text of its files; or in a sentence why none is proposed."""
    if there := sorted(COMPOSE_FILES & files.keys()):
        return f"there is a {there[0]} already: `devenv up`"
    if "Dockerfile" in files:
        exposed = re.search(r"(?im)^EXPOSE\s+(\d+)", files["Dockerfile"])
        return Stack("dockerfile", {"port": exposed[1]} if exposed else {})
    recognised = _node(files) or _python(files) or _go(files)
    return recognised or "name a template: no framework was recognised in this folder"


def _node(files: Mapping[str, str]) -> Stack | None:
    try:
        package = json.loads(files.get("package.json", "{}"))
        scripts = dict(package.get("scripts", {}))
        used = {*package.get("dependencies", {}), *package.get("devDependencies", {})}
    except (ValueError, TypeError, AttributeError):
        return None
    port, more = SCRIPTS["vite" if "vite" in used else ""]
    script = str(scripts.get("dev", scripts.get("start", "")))
    if re.fullmatch(r"node [^&|;<>$'\"`]+", script):  # whose --watch loses what is replaced by a rename
        return Stack("node", {"command": re.sub(r" --watch(-path(=| )\S+)?(?= )", "", script), "port": port})
    return Stack("node", {"command": f"npm run dev{more}", "port": port}) if "dev" in scripts else None


def _python(files: Mapping[str, str]) -> Stack | None:
    needs = f"{files.get('requirements.txt', '')}\n{files.get('pyproject.toml', '')}".lower()
    install = "requirements" if "requirements.txt" in files else "project"
    module = next((path for path in MODULES if path in files), "").removesuffix("/__init__.py").removesuffix(".py")
    for framework, (port, command) in PYTHON.items():
        is_startable = "manage.py" in files if framework == "django" else module
        if is_startable and re.search(rf"(?m)(^|[\"'\s]){framework}($|[^\w-])", needs):
            answers = {"command": command.format(module=module.replace("/", "."), port=port), "port": port}
            return Stack("python", {**answers, "install": install})
    return None


def _go(files: Mapping[str, str]) -> Stack | None:
    """The one command of a module: in its own folder, else below cmd/."""
    sources: dict[str, str] = {}
    for path, text in files.items():
        if path.endswith(".go") and not path.endswith("_test.go") and re.search(r"(?m)^package main\s*$", text):
            folder = path.rpartition("/")[0]
            package = f"./{folder}" if folder else "."
            sources[package] = sources.get(package, "") + text
    if "go.mod" not in files or not sources or (len(sources) > 1 and "." not in sources):
        return None
    package = "." if "." in sources else next(iter(sources))
    listens = re.search(r'"[\w.]*:(\d{2,5})"', sources[package])
    wanted = re.search(r"(?m)^go (\d+)\.(\d+)", files["go.mod"])
    version = max(OLDEST_GO, (int(wanted[1]), int(wanted[2])) if wanted else OLDEST_GO)
    port = listens[1] if listens else GO_PORT
    return Stack("go", {"package": package, "port": port, "go": ".".join(map(str, version))})
