"""Errors of RUN steps about the network, as printed by the programs, and build arguments with secrets."""

from __future__ import annotations

import pytest

from devenv.explain import table
from devenv.explain.table import TableEntry
from devenv.images.build_errors import GIVE, TABLE, explain, secret_arguments_notice

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
UNTRUSTED, PROXY, _, UNKNOWN, SILENT = table.load(TABLE)
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
        ("npm ERR! code ETIMEDOUT\nnpm ERR! request to https://registry.npm.test/x failed", SILENT, NPMJS),
        ("RUN curl https://pypi.test/\ncurl: (28) Connection timed out after 5001 milliseconds", SILENT, PYPI),
    ],
)
def test_the_words_of_a_step_are_a_cause(text: str, row: TableEntry, named: str) -> None:
    """The output leads to its entry; the cause names the host that was not reached, the hint helps."""
    off, on = (explain(text.splitlines(), host_settings=given) for given in (False, True))
    assert off is not None
    assert on is not None
    assert off.hint == GIVE
    assert named in off.what
    words = {"host": named, "proxy": named}
    assert row.cause.format_map(words).split(named)[-1] in off.what
    assert on.hint.split("https://")[0] == row.hint.format_map(words).split("https://")[0]


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
    assert explain(text.splitlines(), host_settings=False) is None


def test_a_login_that_is_missing_is_offered_as_a_secret() -> None:
    """Settings of the host do not help with a login, since they contain none."""
    fault = explain(["npm error code E401", f"{NPM}x", "npm error 401 Unauthorized - GET"], host_settings=False)
    assert fault is not None
    assert fault.what == "registry.npm.test requires a login, which the build does not have"
    assert "--mount=type=secret" in fault.hint


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
