"""Why images could not be pulled, why a build step did not reach the network, and what to do."""

from __future__ import annotations

from dataclasses import replace

import pytest

from devenv.docker.compose_failures import BuildError
from devenv.explain import table
from devenv.explain.table import TableEntry
from devenv.images.failures import (
    BOOT,
    BUILDER_IMAGE,
    GIVE,
    NETWORK_TABLE,
    BuildFacts,
    Failure,
    explain,
    explain_build,
    explain_step,
    known_failure,
    read_failure,
    secret_arguments_notice,
    substitute,
)

DAEMON = "Error response from daemon: "
HUB = f'{DAEMON}Get "https://registry.test/v2/": '
SILENT = Failure("connection refused", impossible=True)
DENIED = Failure("access is denied")
NODE_SILENT = "  node:22 (backend/Dockerfile:1): docker.io does not answer: connection refused"
REDIS_SILENT = "  redis:7 (service cache, service queue): docker.io does not answer: connection refused"
REDIS_INSTEAD = (
    "stand-ins of redis: 7, 8; service cache, service queue would need redis:7\n"
    "  or use a mirror: devenv doctor --fix --mirror HOST, or: devenv images load FILE"
)
HEAD = "unexpected status from HEAD request to https://r.test/v2/x: "
SOLVE = "failed to solve: node:20: failed to resolve source metadata for docker.io/library/node:20: "
AUTHORIZE = "failed to authorize: failed to fetch oauth token: "


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        (f"{HUB}dial tcp: lookup registry.test on 10.0.0.53:53: no such host", "its name is not found (DNS)"),
        (f"{HUB}dial tcp: lookup registry.test on [::1]:53: server misbehaving", "its name is not found (DNS)"),
        (f"{HUB}dial tcp: lookup registry.test: Temporary failure in name resolution", "its name is not found (DNS)"),
        (f"{HUB}dial tcp 192.0.2.1:443: i/o timeout", "no answer in time"),
        (f"{HUB}net/http: TLS handshake timeout", "no answer in time"),
        (f"{HUB}context deadline exceeded", "no answer in time"),
        (
            f"{HUB}net/http: request canceled while waiting for connection (Client.Timeout exceeded)",
            "no answer in time",
        ),
        (f"{HUB}dial tcp 127.0.0.1:443: connect: connection refused", "connection refused"),
        (f"{HUB}dial tcp 192.0.2.1:443: connect: no route to host", "no route to it"),
        (f"{HUB}dial tcp 192.0.2.1:443: connect: network is unreachable", "no route to it"),
        (f"{HUB}read tcp 10.0.0.2:4->192.0.2.1:443: read: connection reset by peer", "the connection broke"),
        (f"{HUB}EOF", "the connection broke"),
        (f"{HUB}remote error: tls: internal error", "the connection broke"),
        (
            f"{HUB}tls: failed to verify certificate: x509: certificate signed by unknown authority",
            "its certificate is not trusted",
        ),
        (f"{HUB}http: server gave HTTP response to HTTPS client", "it does not speak HTTPS"),
        (
            f"{HUB}proxyconnect tcp: dial tcp 10.0.0.9:3128: connect: connection refused",
            "the proxy does not let it through",
        ),
        (f"{DAEMON}received unexpected HTTP status: 503 Service Unavailable", "it is out of service"),
        (
            f'{DAEMON}Head "https://r.test/": unauthorized: Get "https://a.test/": lookup a.test: no such host',
            "its name is not found (DNS)",
        ),
    ],
)
def test_no_registry_answers(text: str, cause: str) -> None:
    """If the engine gets no answer of the registry, the pull is impossible."""
    failure = read_failure(text + "\n")
    assert (failure.cause, failure.impossible) == (cause, True)


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        (
            f"{DAEMON}manifest for node:99 not found: manifest unknown: manifest unknown",
            "image or tag not found",
        ),
        ("no such manifest: docker.io/library/node:99", "image or tag not found"),
        (
            f"{DAEMON}pull access denied for x/y, repository does not exist or may require 'docker login': denied: x",
            "no such image, or it is private",
        ),
        (f'{DAEMON}Head "https://registry.test/v2/x/manifests/1": unauthorized', "access is denied"),
        (f'{DAEMON}Head "https://registry.test/v2/x/manifests/1": no basic auth credentials', "access is denied"),
        (
            f"{DAEMON}toomanyrequests: You have reached your pull rate limit.",
            "the registry's limit of pulls is reached",
        ),
        (
            f"{DAEMON}no matching manifest for linux/arm64/v8 in the manifest list entries",
            "the image does not exist for this platform",
        ),
        ("write /var/lib/docker/tmp/x: no space left on device", "the engine's disk is full"),
        ("invalid reference format: repository name must be lowercase", "the image name is invalid"),
        (f"{DAEMON}something that nobody foresaw\n", "something that nobody foresaw"),
        ("", "no reason given"),
    ],
)
def test_a_registry_answers_no(text: str, cause: str) -> None:
    """An image that the registry refuses is an error, never a reason for a stand-in."""
    failure = read_failure(text)
    assert (failure.cause, failure.impossible) == (cause, False)


@pytest.mark.parametrize(
    ("text", "cause", "hint"),
    [
        (
            (
                f'failed to solve: DeadlineExceeded: {SOLVE}{AUTHORIZE}Post "https://auth.docker.io/token": '
                "dial tcp 192.0.2.1:443: i/o timeout"
            ),
            "no answer in time",
            "BUILDX_BUILDER=default devenv up",
        ),
        (
            (
                f'{SOLVE}failed to authorize: failed to fetch anonymous token: Get "https://auth.docker.io/token?scope='
                'repository%3Alibrary%2Fnode%3Apull&service=registry.docker.io": read tcp 10.0.0.2:4->192.0.2.1:443: '
                "read: connection reset by peer"
            ),
            "the connection broke",
            "BUILDX_BUILDER=default devenv up",
        ),
        (
            (
                f'{SOLVE}failed to do request: Head "https://registry-1.docker.io/v2/library/node/manifests/20": '
                "dial tcp: lookup registry-1.docker.io on 10.0.0.53:53: no such host"
            ),
            "its name is not found (DNS)",
            None,
        ),
        ("failed to solve: DeadlineExceeded: context deadline exceeded", "no answer in time", None),
        ("pulling node:22: no progress for 60 seconds", "no answer in time", None),
        (
            f"{SOLVE}docker.io/library/node:20: not found",
            "image or tag not found",
            "devenv images shows where the name is written",
        ),
        (
            (
                f"{SOLVE}pull access denied, repository does not exist or may require authorization: server message: "
                "insufficient_scope: authorization failed"
            ),
            "no such image, or it is private",
            "docker login",
        ),
        (
            (
                f"{SOLVE}{AUTHORIZE}unexpected status from POST request to https://auth.docker.io/token: "
                "401 Unauthorized: unauthorized: incorrect username or password"
            ),
            "the registry refuses the user and password that Docker has stored",
            "docker login",
        ),
        (
            f"{SOLVE}{HEAD}429 Too Many Requests",
            "the registry's limit of pulls is reached",
            "docker login r.test",
        ),
        (
            f"{SOLVE}{HEAD}503 Service Unavailable",
            "it is out of service",
            None,
        ),
        (
            (
                'failed to solve: error getting credentials - err: exec: "docker-credential-desktop": executable '
                "file not found in $PATH, out: ``"
            ),
            "the docker CLI's credential helper cannot be used",
            "remove `credsStore` from ~/.docker/config.json and log in again: docker login",
        ),
        (
            f"{SOLVE}no match for platform in manifest: not found",
            "the image does not exist for this platform",
            "choose a platform that exists: `platform: linux/amd64` in the service",
        ),
        (
            f"manifest verification failed for digest sha256:{'1' * 64}",
            "the content does not match its digest, and was discarded",
            "correct the digest, or ask who runs the registry",
        ),
        (
            f'failed commit on ref "manifest-sha256:{"1" * 64}": unexpected commit digest sha256:{"2" * 64}',
            "the content does not match its digest, and was discarded",
            "correct the digest, or ask who runs the registry",
        ),
        (
            f"filesystem layer verification failed for digest sha256:{'1' * 64}",
            "the content does not match its digest, and was discarded",
            "correct the digest, or ask who runs the registry",
        ),
        (
            "error parsing HTTP 403 response body: invalid character '<' looking for beginning of value",
            "something on the way blocks it (403)",
            None,
        ),
        (
            'Get "https://r.test/v2/": proxyconnect tcp: dial tcp: lookup http.docker.internal: no such host',
            "Docker Desktop's own proxy does not let it through",
            "Docker Desktop: Settings, Resources, Proxies",
        ),
        (
            'Get "https://r.test:5000/v2/": tls: failed to verify certificate: x509: signed by unknown authority',
            "its certificate is not trusted",
            "put the authority's certificate where the engine looks for it: /etc/docker/certs.d/r.test:5000/ca.crt",
        ),
        (
            'Get "https://r.test:5000/v2/": http: server gave HTTP response to HTTPS client',
            "it does not speak HTTPS",
            'give it a certificate, or name it in the engine\'s daemon.json: "insecure-registries": ["r.test:5000"]',
        ),
        (
            'Head "https://r.test:5000/v2/x/manifests/1": tls: first record does not look like a TLS handshake',
            "it does not speak HTTPS",
            'give it a certificate, or name it in the engine\'s daemon.json: "insecure-registries": ["r.test:5000"]',
        ),
        (
            "missing or empty Content-Type header",
            "the server is not a registry",
            "the network may require you to sign in first; to see the answer: curl -i https://docker.io",
        ),
        ("denied: requested access to the resource is denied", "access is denied", "docker login"),
        ("unauthorized: authentication required", "access is denied", "docker login"),
        ("unauthorized: access token has insufficient scopes", "access is denied", "docker login"),
        ("no basic auth credentials", "access is denied", "docker login"),
        ("An image does not exist locally with the tag: r.test/x", "the image does not exist here", "devenv build"),
        (
            "received unexpected HTTP status: 413 Request Entity Too Large",
            "a layer is larger than the registry accepts",
            "ask who runs the registry for a higher limit, or make the layer smaller: devenv layers",
        ),
        (
            "failed to register layer: write /usr/bin/x: no space left on device",
            "the engine's disk is full",
            "docker system df",
        ),
    ],
)
def test_texts_of_pulls_builds_and_pushes(text: str, cause: str, hint: str | None) -> None:
    """Each known text has one cause and one command."""
    failure = known_failure(text)
    assert failure is not None
    assert (failure.cause, failure.hint) == (cause, hint)


@pytest.mark.parametrize(
    ("text", "is_passing"),
    [
        ("toomanyrequests: You have reached your pull rate limit.", True),
        ("received unexpected HTTP status: 502 Bad Gateway", True),
        ("read: connection reset by peer", True),
        ("unexpected EOF", True),
        ("unauthorized", False),
        ("manifest unknown", False),
        ("dial tcp: lookup registry.test: no such host", False),
        ("i/o timeout", False),
    ],
)
def test_what_is_worth_another_try(text: str, is_passing: bool) -> None:
    """A busy or broken registry may answer soon; a refusal, an unknown name and a timeout are final."""
    assert read_failure(text).passing == is_passing


def test_image_names_do_not_match_patterns() -> None:
    """The name of an image may contain words of the patterns."""
    for name in ("cert/x509:1", "timeout:1", "r.test/eof/denied:1"):
        text = f'Head "https://r.test/v2/{name}": manifest for {name} not found: manifest unknown'
        assert read_failure(text, name).cause == "image or tag not found"
    for name in ("x:1", "no:1", "e"):
        assert read_failure("lookup r.test: no such host", name).cause == "its name is not found (DNS)"
        assert read_failure("tls: x509: unknown authority", name).cause == "its certificate is not trusted"


def test_unknown_build_failure_is_not_explained() -> None:
    """A failure of a build that is not about images is not explained."""
    assert known_failure("process /bin/sh -c make did not complete successfully: exit code: 2") is None
    assert read_failure("gremlins", "x:1") == Failure("gremlins", hint="docker pull x:1")


@pytest.mark.parametrize(
    ("failure", "here", "recipe", "consent", "expected"),
    [
        (SILENT, False, True, True, "stand-in"),
        (SILENT, False, True, False, None),
        (SILENT, False, False, True, None),
        (SILENT, True, True, True, "local"),
        (SILENT, True, False, False, "local"),
        (DENIED, False, True, True, None),
        (DENIED, True, True, True, None),
    ],
)
def test_substitute(failure: Failure, here: bool, recipe: bool, consent: bool, expected: str | None) -> None:
    """A stand-in is used only if no registry answers, no image is present, a recipe exists and the user agreed."""
    assert substitute(failure, local=here, recipe=recipe, consent=consent) == expected


@pytest.mark.parametrize(
    ("failed", "consent", "message", "hint"),
    [
        (
            {"node:22": SILENT},
            False,
            f"an image is not available:\n{NODE_SILENT}",
            "devenv up --stand-ins",
        ),
        (
            {"node:22": SILENT, "redis:7": SILENT},
            False,
            f"2 images are not available:\n{NODE_SILENT}\n{REDIS_SILENT}",
            REDIS_INSTEAD,
        ),
        (
            {"redis:7": SILENT},
            True,
            f"an image is not available:\n{REDIS_SILENT}",
            REDIS_INSTEAD,
        ),
        (
            {"ghcr.io/a/b:1": read_failure("denied", "ghcr.io/a/b:1")},
            True,
            "an image is not available:\n  ghcr.io/a/b:1 (service private): access is denied",
            "docker login ghcr.io",
        ),
        (
            {"redis:7": read_failure("denied", "redis:7")},
            True,
            "an image is not available:\n  redis:7 (service cache, service queue): access is denied",
            "docker login",
        ),
        ({"node:22": SILENT}, True, f"an image is not available:\n{NODE_SILENT}", None),
        (
            {"node:22": replace(SILENT, hint="docker info")},
            False,
            f"an image is not available:\n{NODE_SILENT}",
            "docker info; or devenv up --stand-ins",
        ),
        (
            {"redis:7": replace(SILENT, hint="docker info")},
            False,
            f"an image is not available:\n{REDIS_SILENT}",
            "docker info",
        ),
        (
            {"node:22": Failure("image or tag not found")},
            True,
            "an image is not available:\n  node:22 (backend/Dockerfile:1): image or tag not found",
            None,
        ),
    ],
)
def test_explain(failed: dict[str, Failure], consent: bool, message: str, hint: str | None) -> None:
    """The error names each image, its users, why it is missing, and the command to type."""
    lines = {
        "node:22": ["backend/Dockerfile:1"],
        "redis:7": ["service cache", "service queue"],
        "ghcr.io/a/b:1": ["service private"],
    }
    instead = {"redis:7": REDIS_INSTEAD.partition("\n")[0], "ghcr.io/a/b:1": "none"}
    error = explain(failed, lines, instead=instead, consent=consent)
    assert (error.message, error.hint, error.exit_code) == (message, hint, 4)


@pytest.mark.parametrize(
    ("reference", "texts", "code", "hint"),
    [
        ("nigx:1", ["manifest unknown"], 5, "did you mean `nginx:1`?"),
        (
            "nigx",
            ["pull access denied for nigx, repository does not exist or may require 'docker login'"],
            5,
            "did you mean `nginx:latest`? Or: docker login",
        ),
        ("docker.io/library/pyton:3", ["denied"], 4, "did you mean `python:3`? Or: docker login"),
        ("nginx:99", ["manifest unknown"], 5, "devenv images shows"),
        ("me/nginy:1", ["manifest unknown"], 5, "devenv images shows"),
        ("web:1", ["manifest unknown"], 5, "devenv images shows"),
        ("node:22", ["no matching manifest for linux/arm64/v8 in the manifest list entries"], 5, "choose a platform"),
        ("Node:22", ["invalid reference format: repository name must be lowercase"], 5, "devenv images shows"),
        ("nigx:1", ["dial tcp: lookup registry-1.docker.io: no such host"], 4, "did you mean `nginx:1`?"),
        ("node:22", ["manifest unknown", "connection refused"], 4, ""),
        ("node:22", ["no space left on device"], 4, "docker system df"),
    ],
)
def test_exit_code_for_a_missing_image(reference: str, texts: list[str], code: int, hint: str) -> None:
    """5 if the file asks for what does not exist, 4 if a registry or the engine cannot give it; a name is guessed."""
    failed = {f"{reference}{'x' * n}": read_failure(text, reference) for n, text in enumerate(texts)}
    lines = {key: ["service web"] for key in failed}
    error = explain(failed, lines, instead=dict.fromkeys(failed, "none"), consent=True)
    assert error.exit_code == code
    assert str(error.hint).startswith(hint)
    assert "?; or" not in str(error.hint)


def test_an_image_that_a_registry_does_not_have_is_known_as_such() -> None:
    """If only a mirror lacks the image, the image's name is not called wrong."""
    assert read_failure("manifest for node:99 not found: manifest unknown", "node:99").absent
    assert not read_failure("connection refused", "node:99").absent


NPM = "npm error request to https://registry.npm.test/is-odd failed, reason: "
PIP = "WARNING: Retrying (Retry(total=0, connect=None, read=None, redirect=None)) after connection broken by "
REFUSED_PIP = (
    "'ProxyError('Cannot connect to proxy.', NewConnectionError('<pip._vendor.urllib3.connection.HTTPSConnection "
    "object at 0x7ffba96197f0>: Failed to establish a new connection: [Errno 111] Connection refused'))': /six/"
)
NONE_FOUND = "ERROR: Could not find a version that satisfies the requirement six (from versions: none)"
PIP_UNTRUSTED = (
    "Could not fetch URL https://pypi.test/simple/six/: There was a problem confirming the ssl certificate: "
    "HTTPSConnectionPool(host='pypi.test', port=443): Max retries exceeded with url: /simple/six/ (Caused by "
    "SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed "
    "certificate in certificate chain (_ssl.c:1029)'))) - skipping"
)
APT = "W: Failed to fetch http://deb.test/debian/dists/trixie/InRelease  "
GIT = "fatal: unable to access 'https://pypi.test/x.git/': "
GO = 'go: github.com/google/uuid@v1.6.0: Get "https://goproxy.test/github.com/google/uuid/@v/v1.6.0.mod": '
UNTRUSTED, PROXY, _, UNKNOWN, NO_ANSWER = table.load(NETWORK_TABLE)
NPMJS, PYPI, DEBIAN = "registry.npm.test", "pypi.test", "deb.test"
LOOPBACK = "127.0.0.1:3128"


@pytest.mark.parametrize(
    ("text", "row", "named"),
    [
        (f"{NPM}self-signed certificate in certificate chain", UNTRUSTED, NPMJS),
        (f"npm error code UNABLE_TO_GET_ISSUER_CERT_LOCALLY\n{NPM}unable to get local issuer", UNTRUSTED, NPMJS),
        ("error Error: self-signed certificate in certificate chain", UNTRUSTED, "a server"),
        (" WARN  GET https://registry.npm.test/is-odd error (SELF_SIGNED_CERT_IN_CHAIN)", UNTRUSTED, NPMJS),
        (f"{PIP_UNTRUSTED}\n{NONE_FOUND}", UNTRUSTED, PYPI),
        (
            "  cause: (https://pypi.test/simple/six/)\n  cause: invalid peer certificate: UnknownIssuer",
            UNTRUSTED,
            PYPI,
        ),
        ("curl https://pypi.test/\ncurl: (60) SSL certificate problem: self-signed certificate", UNTRUSTED, PYPI),
        ("ERROR: The certificate of 'pypi.test' is not trusted.", UNTRUSTED, "a server"),
        (f"{GIT}server verification failed: certificate signer not trusted. (CAfile: none)", UNTRUSTED, PYPI),
        (
            f"{GO}tls: failed to verify certificate: x509: certificate signed by unknown",
            UNTRUSTED,
            "goproxy.test",
        ),
        ("urllib.error.URLError: <urlopen error [SSL: CERTIFICATE_VERIFY_FAILED]>", UNTRUSTED, "a server"),
        (f"{APT}Certificate verification failed: The certificate is NOT trusted.", UNTRUSTED, DEBIAN),
        (f"{NPM}connect ECONNREFUSED {LOOPBACK}", PROXY, LOOPBACK),
        ("npm error   code: 'ECONNREFUSED',\nnpm error   address: '127.0.0.1',", PROXY, "127.0.0.1"),
        (f"{PIP}{REFUSED_PIP}\n{NONE_FOUND}", PROXY, "on 127.0.0.1"),
        ("RUN curl https://pypi.test/\ncurl: (7) Failed to connect to 127.0.0.1 port 3128 after 0 ms", PROXY, "3128"),
        (
            f"--2026-11-25--  https://pypi.test/\nConnecting to {LOOPBACK}... failed: Connection refused.",
            PROXY,
            LOOPBACK,
        ),
        (f"{GIT}Failed to connect to 127.0.0.1 port 3128 after 0 ms", PROXY, "127.0.0.1 port 3128"),
        (f"{APT}Unable to connect to {LOOPBACK}:", PROXY, LOOPBACK),
        (f"{GO}proxyconnect tcp: dial tcp {LOOPBACK}: connect: connection refused", PROXY, LOOPBACK),
        (f"{NPM}getaddrinfo EAI_AGAIN registry.npm.test", UNKNOWN, NPMJS),
        ("npm ERR! network request failed, reason: getaddrinfo ENOTFOUND registry.npm.test", UNKNOWN, NPMJS),
        ("curl: (6) Could not resolve host: pypi.test", UNKNOWN, PYPI),
        ("Resolving pypi.test (pypi.test)... failed: Temporary failure in name resolution.", UNKNOWN, PYPI),
        ("wget: unable to resolve host address 'pypi.test'", UNKNOWN, PYPI),
        (f"{GIT}Could not resolve host: pypi.test", UNKNOWN, PYPI),
        (f"{APT}Temporary failure resolving 'deb.test'", UNKNOWN, DEBIAN),
        (f"{GO}dial tcp: lookup goproxy.test on 10.0.0.53:53: no such host", UNKNOWN, "goproxy.test"),
        ("WARNING: Ignoring https://apk.test/main: temporary error (try again later)", UNKNOWN, "apk.test"),
        ("npm ERR! code ETIMEDOUT\nnpm ERR! request to https://registry.npm.test/x failed", NO_ANSWER, NPMJS),
        ("RUN curl https://pypi.test/\ncurl: (28) Connection timed out after 5001 milliseconds", NO_ANSWER, PYPI),
    ],
)
def test_output_of_a_step_gives_the_cause(text: str, row: TableEntry, named: str) -> None:
    """The output leads to its entry; the cause names the host that was not reached, the hint helps."""
    off, on = (explain_step(text.splitlines(), host_settings=given) for given in (False, True))
    assert off is not None
    assert on is not None
    assert off.hint == GIVE
    assert named in off.cause
    words = {"host": named, "proxy": named}
    assert row.cause.format_map(words).split(named)[-1] in off.cause
    assert str(on.hint).split("https://")[0] == row.hint.format_map(words).split("https://")[0]


@pytest.mark.parametrize(
    "text",
    [
        "Error: connect ECONNREFUSED 127.0.0.1:5432",
        "Error: getaddrinfo ENOTFOUND db",
        "RUN curl http://localhost:3000/\ncurl: (7) Failed to connect to 127.0.0.1 port 3000 after 0 ms",
        "RUN curl http://127.0.0.1:3000/\ncurl: (7) Failed to connect to 127.0.0.1 port 3000 after 0 ms",
        "npm error code E404\nnpm error 404 Not Found - GET https://registry.npm.test/no-such-thing",
        NONE_FOUND,
        "",
    ],
)
def test_other_failures_are_not_the_networks(text: str) -> None:
    """A step that needs another service, its own machine, or a file that does not exist has no network fault."""
    assert explain_step(text.splitlines(), host_settings=False) is None


def test_a_login_that_is_missing_is_offered_as_a_secret() -> None:
    """Settings of the host do not help with a login, since they contain none."""
    fault = explain_step(["npm error code E401", f"{NPM}x", "npm error 401 Unauthorized - GET"], host_settings=False)
    assert fault is not None
    assert fault.cause == "registry.npm.test requires a login, which the build does not have"
    assert "--mount=type=secret" in str(fault.hint)


def test_arguments_that_look_like_secrets_are_told() -> None:
    """The notice has their names and a hint, and never their values."""
    given = [("NPM_TOKEN", "canary"), ("DB_PASSWORD", "canary"), ("APIKEY", "canary"), ("AUTHOR", "me"), ("KEY", "")]
    notice = secret_arguments_notice("web", [*given, ("VITE_PUBLIC_KEY", "open"), ("MONKEY", "see")])
    assert notice is not None
    assert (
        notice.message == "the image of `web` keeps its build arguments NPM_TOKEN, DB_PASSWORD, APIKEY in its history"
    )
    assert notice.hint == (
        "Give it as a secret: `secrets:` of the build, and RUN --mount=type=secret,id=npm_token in the Dockerfile."
    )
    assert secret_arguments_notice("web", [("NODE_ENV", "production")]) is None
    single = secret_arguments_notice("web", [("auth", "x")])
    assert single is not None
    assert "argument auth" in single.message


FILE = """\
FROM node:22
COPY pakage.json ./
RUN npm ci && \\
  npm run build
COPY --from=one /dist /app
ADD https://x.test/y /
"""
COPY, RUN, FROM_STAGE, ADD = (
    "COPY pakage.json ./", "RUN npm ci &&   npm run build", "COPY --from=one /dist /app", "ADD https://x.test/y /",
)  # fmt: skip
NOT_FOUND = '"/{}": not found'
ENDED = "`RUN npm ci &&   npm run build` ended with exit code 1"
FAILED = f"web/Dockerfile:3: the build of `web` failed: {ENDED}"


@pytest.mark.parametrize(
    ("reason", "instruction", "lines", "message", "hint", "code"),
    [
        (
            NOT_FOUND.format("pakage.json"),
            COPY,
            (),
            (f"web/Dockerfile:2: `{COPY}`: `pakage.json` is not in the build context"),
            "Did you mean `package.json`?",
            5,
        ),
        (
            NOT_FOUND.format("src/secret.txt"),
            COPY,
            (),
            (
                f"web/Dockerfile:2: `{COPY}`: `src/secret.txt` exists, but "
                "web/.dockerignore:3 excludes it from the build context"
            ),
            "Remove the pattern, or add an exception below it: !src/secret.txt",
            5,
        ),
        (
            NOT_FOUND.format("zzz"),
            COPY,
            (),
            f"web/Dockerfile:2: `{COPY}`: `zzz` is not in the build context",
            table.load("dockerfile")[-1].hint,
            5,
        ),
        (
            NOT_FOUND.format("dist"),
            FROM_STAGE,
            (),
            f"web/Dockerfile:5: `{FROM_STAGE}`: /dist does not exist in `one`",
            "Correct the path, or the stage or image after --from.",
            5,
        ),
        (
            "dockerfile parse error on line 3: unknown instruction: RUNN",
            "",
            (),
            ("web/Dockerfile:3: unknown instruction: RUNN"),
            ("A line starts with an instruction (FROM, COPY, RUN, ...) or continues one that ends with a backslash."),
            5,
        ),
        (
            'unable to prepare context: path "/p/web/x" not found',
            "",
            (),
            ("the build context of `web` does not exist: web/x"),
            "Correct `build.context` of the service.",
            5,
        ),
        (
            'Get "https://x.test/y": dial tcp: lookup x.test on 10.0.0.1:53: no such host',
            ADD,
            (),
            f"{FAILED[:15]}6: the build of `web` failed: `{ADD}`: x.test does not answer: its name is not found (DNS)",  # noqa: E501
            "curl -I https://x.test",
            1,
        ),
        (
            "dial tcp: lookup x.test on 10.0.0.1:53: no such host",
            ADD,
            (),
            f"{FAILED[:15]}6: the build of `web` failed: `{ADD}`: x.test does not answer: its name is not found (DNS)",  # noqa: E501
            "curl -I https://x.test",
            1,
        ),
        (
            "dial tcp 10.0.0.9:443: i/o timeout",
            RUN,
            (),
            f"web/Dockerfile:3: the build of `web` failed: `{RUN}`: a server does not answer: no answer in time",
            None,
            1,
        ),
        (
            "initializing source docker://moby/buildkit:buildx-stable-1: dial tcp: lookup docker.io: no such host",
            BOOT,
            (),
            (
                f"the build of `web` failed: the builder's own image {BUILDER_IMAGE} cannot be pulled: "
                "docker.io does not answer: its name is not found (DNS)"
            ),
            (
                f"docker pull {BUILDER_IMAGE}, or load it from a file: docker load -i FILE; "
                "Docker builds without it: BUILDX_BUILDER=default devenv up"
            ),
            1,
        ),
        (
            "crun: mount proc to proc: Operation not permitted",
            BOOT,
            (),
            (
                f"the build of `web` failed: the builder, a container of {BUILDER_IMAGE}, does not start: "
                "crun: mount proc to proc: Operation not permitted"
            ),
            "docker buildx inspect --bootstrap",
            1,
        ),
        (ENDED, RUN, ("x",), f"{FAILED}\n  x", "devenv build web   (shows the whole output)", 1),
        (
            ENDED,
            RUN,
            ("/bin/sh: 1: yarn: not found",),
            (
                f"{FAILED}: the image has no `yarn`: it is a stand-in for "
                "node:22, made on this machine, and has less than the original\n  /bin/sh: 1: yarn: not found"
            ),
            "Install it in an earlier RUN, or get the original image: devenv images load FILE, or a mirror.",
            1,
        ),
        (
            ENDED,
            RUN,
            ("E: Unable to locate package x",),
            (f"{FAILED}: apt finds no package `x`\n  E: Unable to locate package x"),
            ("Run apt-get update before apt-get install, in the same RUN; or correct the name of the package."),
            1,
        ),
        (
            ENDED,
            RUN,
            ("curl: (6) Could not resolve host: a.test",),
            (
                f"{FAILED}: the name a.test is not found (DNS) "
                "inside the build\n  curl: (6) Could not resolve host: a.test"
            ),
            GIVE,
            1,
        ),
        ("something else", RUN, (), "web/Dockerfile:3: the build of `web` failed: something else", None, 1),
    ],
)
def test_why_a_build_failed(
    reason: str, instruction: str, lines: tuple[str, ...], message: str, hint: str | None, code: int
) -> None:
    """The error has the line of the Dockerfile, with code 5 for a mistake in a file, and 1 for a build that fails."""
    folders = {"": ["package.json", "src"], "src": ["secret.txt"]}
    facts = BuildFacts(
        directory="/p",
        dockerfile="web/Dockerfile",
        text=FILE,
        stand_in="node:22",
        files=lambda folder: folders.get(folder, ()),
        ignore_file=("web/.dockerignore", "# secrets\nnode_modules\n**/secret.*\n"),
    )
    error = explain_build(BuildError("web", reason, lines, in_step=reason == ENDED, instruction=instruction), facts)
    assert (error.said, error.hint, error.exit_code) == (message, hint, code)


def test_a_build_without_a_dockerfile_of_its_own() -> None:
    """An inline Dockerfile is named with its line; one that only the builder has read is not named."""
    error = BuildError("web", "dockerfile parse error on line 2: unknown instruction: X")
    inline = explain_build(error, BuildFacts(text="FROM a\nX\n"))
    assert inline.said == "line 2 of the dockerfile_inline of `web`: unknown instruction: X"
    assert explain_build(error, BuildFacts()).said == "unknown instruction: X"
