"""Secrets are removed from shown commands and addresses; everything else stays readable."""

from __future__ import annotations

import base64
import shlex

import pytest

from devenv.redact import Redactor

BIRD = "c4n4ry"
ENVIRONMENT = {
    "DB_PASSWORD": f"{BIRD}-1",
    "api_key": f"{BIRD} 2/ü",
    "GITHUB_TOKEN": f"{BIRD}-3",
    "HTTPS_PROXY": f"http://{BIRD}-user:{BIRD}%40-4@proxy:3128",
    "DATABASE_URL": f"postgres://app:{BIRD}-5@db/app",
    "AUTH": "true",
    "PWD": "/home/me/shop",
    "PATH": "/usr/bin",
}


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (f"x --password {BIRD}", "x --password '***'"),
        (f"x --password={BIRD}", "x '--password=***'"),
        (f"x '--api-token={BIRD} and more'", "x '--api-token=***'"),
        (f"docker run -e PASSWORD={BIRD} -e A=b img", "docker run -e 'PASSWORD=***' -e A=b img"),
        (f"docker run --env=MY_SECRET_X={BIRD} img", "docker run --env=MY_SECRET_X=*** img"),
        (f"docker build --build-arg=NAME={BIRD} .", "docker build '--build-arg=NAME=***' ."),
        (f"docker build --build-arg NAME={BIRD} .", "docker build --build-arg 'NAME=***' ."),
        (f"docker build --build-arg 'NAME={BIRD} b' .", "docker build --build-arg 'NAME=***' ."),
        (f"git clone https://{BIRD}@host/x", "git clone https://***@host/x"),
        (f"git clone https://u:{BIRD}@@host/x", "git clone https://***@host/x"),
        (f"docker -H tcp://u:{BIRD}/x@host:1 ps", "docker -H tcp://***@host:1 ps"),
        (f"git clone me:{BIRD}@host", "git clone ***@host"),
        (f"curl -H 'Authorization: Bearer {BIRD}' x", "curl -H 'Authorization: Bearer ***' x"),
        (f"curl -H 'X-Registry-Auth: {BIRD}=' x", "curl -H 'X-Registry-Auth: ***' x"),
        (f"curl -u me:{BIRD} x", "curl -u *** x"),
        (f"curl --user=me:{BIRD} x", "curl --user=*** x"),
        (f"sh -c 'PGPASSWORD={BIRD} psql'", "sh -c 'PGPASSWORD=***'"),
        (f"sh -c 'docker build --build-arg A={BIRD} .'", "sh -c 'docker build --build-arg A=*** .'"),
        (f"sh -c 'mysql --password=\"{BIRD} {BIRD}\" db'", "sh -c 'mysql --password=*** db'"),
        (f"sh -c 'curl -H \"Authorization: Basic {BIRD}\"'", "sh -c 'curl -H \"Authorization: Basic ***\"'"),
        (f'echo \'{{"password": "{BIRD}"}}\'', "echo '{\"password\": ***}'"),
        (f"x {BIRD}-1 '{BIRD} 2/ü'", "x *** '***'"),
        (f"x {BIRD}%202%2F%C3%BC", "x ***"),
        (f"x {BIRD}@-4 {BIRD}%40-4", "x *** ***"),
        (f"x pre{BIRD}-5post", "x pre***post"),
    ],
)
def test_a_secret_is_hidden(command: str, expected: str) -> None:
    """It is hidden by its name, by its place, or because a variable with a secret name has the same value."""
    shown = Redactor(ENVIRONMENT).command(shlex.split(command))
    assert BIRD not in shown
    assert shown == expected


def test_a_secret_in_base64() -> None:
    """As a registry or an HTTP header takes it, of a value and of user and password."""
    for text in (f"{BIRD}-1", f"{BIRD}-user:{BIRD}@-4", "app:c4n4ry-5"):
        assert Redactor(ENVIRONMENT).text(f"x {base64.b64encode(text.encode()).decode()} y") == "x *** y"


@pytest.mark.parametrize(
    "command",
    [
        "docker compose -p shop --project-directory /home/me/shop -f - up",
        "docker image inspect node:22@sha256:0123 docker.io/library/node@sha256:0123",
        "docker build --build-context a=docker-image://node@sha256:0123 .",
        "docker exec -u 1000:1000 web true",
        "git clone git@github.com:me/shop.git",
        "docker run -v /a:/b --network=none true",
    ],
)
def test_texts_without_secrets_are_unchanged(command: str) -> None:
    """Names of images with a digest, users by number, folders, and words that everybody uses."""
    assert Redactor(ENVIRONMENT).command(shlex.split(command)) == command


def test_a_text_is_one_line() -> None:
    """Line breaks of any kind are escaped; an environment without secrets hides nothing."""
    assert Redactor({"A_KEY": "abc"}).text("a\n  b abc") == "a b abc"


def test_a_line_keeps_its_spaces() -> None:
    """The rules are those of any text; a line without a hint of a secret is not looked at twice."""
    redactor = Redactor(ENVIRONMENT)
    assert redactor.line(f'  File "a.py",  line 3: {BIRD}-1 token={BIRD}') == '  File "a.py",  line 3: *** token=***'
    assert redactor.line("\tGET /items  200") == "\tGET /items  200"
