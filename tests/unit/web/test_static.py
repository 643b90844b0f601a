"""The files of the page: its modules by Node's own test runner, and the rules that a report relies on."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from devenv.web import static
from support.page_server import STATIC

ROOT = Path(__file__).parents[3]
TESTS = ROOT / "tests/page"
MODULES = sorted(STATIC.glob("*.js"))
DECLARED = re.compile(r"(?:export )?(?:async )?(?:function|class|const|let) +(\w+)")
DESTRUCTURED = re.compile(r"(?:export )?(?:const|let) +[\[{]")
AS_HTML = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function"
LONGEST = 400  # lines


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the page and its tests, in which any version of Node takes files as modules."""
    if shutil.which("node") is None:
        pytest.skip("node is not installed")
    folder = tmp_path_factory.mktemp("page")
    for path in (STATIC, TESTS):
        shutil.copytree(path, folder / path.relative_to(ROOT))
    (folder / "package.json").write_text('{"type": "module"}', encoding="utf-8")
    return folder


def test_the_pure_modules_pass_their_tests(checkout: Path) -> None:
    """Filter, lines, time axis, causes and the fold of messages work without a browser."""
    files = [str(path.relative_to(checkout)) for path in sorted(checkout.glob("tests/page/*.test.js"))]
    done = subprocess.run(["node", "--test", *files], cwd=checkout, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr
    passed = re.search(r"^\W*pass (\d+)", done.stdout, re.MULTILINE)
    assert passed
    assert int(passed[1]) >= len(files)


def test_all_modules_joined_as_in_a_report_are_valid(checkout: Path) -> None:
    """Node can parse all modules joined into one."""
    files = {path.name: path.read_text(encoding="utf-8") for path in STATIC.iterdir() if path.suffix != ".svg"}
    (checkout / "joined.js").write_text(static.script(files), encoding="utf-8")
    subprocess.run(["node", "--check", "joined.js"], cwd=checkout, check=True)


def test_modules_txt_names_all_modules_dependencies_first() -> None:
    """A module comes after those that it imports, so that a report may join them in this order."""
    order = (STATIC / "modules.txt").read_text(encoding="utf-8").split()
    assert sorted(order) == [path.name for path in MODULES]
    for path in MODULES:
        for imported in re.findall(r'^import .* from "\./(\S+)";$', path.read_text(encoding="utf-8"), re.MULTILINE):
            assert order.index(imported) < order.index(path.name), f"{path.name} imports {imported}"


def test_imports_and_exports_are_single_lines_that_a_report_can_remove() -> None:
    """`import` and `export` stand only at the beginning of a line, and an import is one whole line."""
    for path in MODULES:
        for line in path.read_text(encoding="utf-8").splitlines():
            if line.startswith("import "):
                assert re.fullmatch(r'import \{ [\w, ]+ \} from "\./\w+\.js";', line), f"{path.name}: {line}"
            if line.startswith("export "):
                assert DECLARED.match(line), f"{path.name}: {line}"
            assert not DESTRUCTURED.match(line), f"{path.name}: a name that this test does not see: {line}"
            assert not re.search(r"^[^*]*\bimport\(|\bexport \{|</script", line), f"{path.name}: {line}"


def test_top_level_names_are_unique_over_all_modules() -> None:
    """Joined modules share one scope."""
    names = Counter(
        found[1]
        for path in MODULES
        for line in path.read_text(encoding="utf-8").splitlines()
        if (found := DECLARED.match(line))
    )
    assert {name: count for name, count in names.items() if count > 1} == {}


def test_the_page_has_no_inline_code_and_loads_nothing_from_elsewhere() -> None:
    """The content security policy allows files of the same origin alone; text is never set as HTML."""
    shell = (STATIC / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"\sstyle=|\son\w+=|<style|<script(?![^>]* src=)", shell)
    for path in STATIC.iterdir():
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"https?://(?!www\.w3\.org/)\w", text), path.name
        assert not re.search(AS_HTML, text), path.name
        if path.suffix == ".js":
            assert text.startswith("/**"), f"{path.name} has no comment that says what it does"
            assert len(text.splitlines()) <= LONGEST, path.name


def test_all_modules_are_loaded_at_once() -> None:
    """The shell names each module, so that the browser need not find them import by import."""
    shell = (STATIC / "index.html").read_text(encoding="utf-8")
    assert sorted(re.findall(r'"/static/(\w+\.js)"', shell)) == [path.name for path in MODULES]


def test_only_files_of_the_page_are_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each by a fixed target; the index is the shell."""
    for name in ("index.html", "main.js", "style.css", "icon.svg", "modules.txt", "main.py"):
        (tmp_path / name).write_text(name if name != "modules.txt" else "main.js")
    monkeypatch.setattr(static, "FOLDER", str(tmp_path))
    monkeypatch.setattr(static, "texts", static.texts.__wrapped__)
    files = static.files()
    assert sorted(files) == ["/", "/static/icon.svg", "/static/main.js", "/static/style.css"]
    assert files["/"] == ("text/html; charset=utf-8", b"index.html")
