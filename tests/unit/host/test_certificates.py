"""The certificates of a company on a machine, and those that a registry presents, with and without a proxy."""

from __future__ import annotations

import base64
import http.client
import socket
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from ssl import DER_cert_to_PEM_cert as pem
from urllib.parse import urlsplit

import anyio
import pytest

from devenv.docker import process
from devenv.errors import EngineError
from devenv.host import certificates as authorities
from devenv.host.certificates import Trust, anchor, certificates, company_cas, connection, context, find
from support.lab import Authority

PUBLIC, COMPANY, OLD = b"public", b"company", b"old"
BROKEN = "proxy refuses"


@pytest.mark.parametrize(
    ("trust", "presented", "expected"),
    [
        (({PUBLIC}, {COMPANY}, {PUBLIC, COMPANY}), None, {COMPANY}),
        (({PUBLIC}, {PUBLIC}, {PUBLIC}), None, set()),
        (({PUBLIC}, (), {PUBLIC, COMPANY, OLD}), {COMPANY}, {COMPANY}),
        (({PUBLIC}, (), {PUBLIC, COMPANY, OLD}), {PUBLIC}, set()),
        (({PUBLIC}, (), {PUBLIC, COMPANY}), None, {COMPANY}),
        (((), {COMPANY}, {PUBLIC}), None, {COMPANY}),
    ],
    ids=["added", "added and public", "presented", "only public ones presented", "offline", "no list of public ones"],
)  # fmt: skip
def test_authorities_that_are_not_public_are_the_companys(
    trust: tuple[Iterable[bytes], ...], presented: set[bytes] | None, expected: set[bytes]
) -> None:
    """Added certificates count; those in the bundle from an unknown source count if registries present them."""
    assert company_cas(Trust(*map(frozenset, trust)), None if presented is None else frozenset(presented)) == expected


class Company(Authority):
    """A CA of the test, a server whose certificate it signed, and a proxy for that server."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.text, self.other = (one.certificate.read_text() for one in (self, Authority(folder / "other")))
        self.der = ssl.PEM_cert_to_DER_cert(self.text)
        self.heads: list[bytes] = []

    def trusting(self) -> ssl.SSLContext:
        """A context for clients, which trusts this CA, too."""
        context = ssl.create_default_context(cadata=self.text)
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        return context

    def serve(self, sock: socket.socket) -> None:
        """Accept one connection, do the TLS handshake, and close it."""
        with suppress(OSError), self.speaks_for("registry.test").wrap_socket(sock, server_side=True) as tls:
            tls.recv(1)

    def proxy(self, sock: socket.socket) -> None:
        """A CONNECT to the registry, which is then served; refused for others."""
        head = b""
        while b"\r\n\r\n" not in head:
            head += sock.recv(4096)
        self.heads.append(head)
        if b"CONNECT registry.test:443" not in head:
            sock.sendall(b"HTTP/1.1 403 Forbidden\r\n\r\n")
            sock.close()
            return
        sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        self.serve(sock)


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Company:
    """Made once, since keys are slow to make."""
    return Company(tmp_path_factory.mktemp("authority"))


Listen = Callable[[Callable[[socket.socket], None]], int]


@pytest.fixture
def listen() -> Iterator[Listen]:
    """Start a server with its handler in a thread; returns the port."""
    with ExitStack() as stack:

        def start(handle: Callable[[socket.socket], None]) -> int:
            server = stack.enter_context(socket.create_server(("127.0.0.1", 0)))

            def accept() -> None:
                with suppress(OSError):
                    while True:
                        handle(server.accept()[0])

            thread = threading.Thread(target=accept)
            stack.callback(thread.join, 5)
            stack.callback(server.shutdown, socket.SHUT_RDWR)
            thread.start()
            return int(server.getsockname()[1])

        yield start


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)


def test_the_anchor_is_the_root_of_what_a_registry_presents(
    company: Company, listen: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A certificate that is not trusted, or of another host, gives None."""
    addresses = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", listen(company.serve)))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: addresses)
    assert anchor("registry.test", company.trusting()) == company.der
    assert anchor("other.test", company.trusting()) is None
    assert anchor("registry.test", ssl.create_default_context()) is None


def test_a_registry_is_asked_by_the_hosts_proxy(
    company: Company, listen: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The request has the login of the proxy's address, decoded."""
    monkeypatch.setenv("https_proxy", f"http://me:p%40ss@127.0.0.1:{listen(company.proxy)}")
    assert anchor("registry.test", company.trusting()) == company.der
    assert b"Proxy-Authorization: Basic " + base64.b64encode(b"me:p@ss") in company.heads[-1]
    assert anchor("other.test", company.trusting()) is None
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{listen(company.proxy)}")
    assert anchor("registry.test", company.trusting()) == company.der
    assert b"Proxy-Authorization" not in company.heads[-1]
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:nonsense")
    assert anchor("registry.test", company.trusting()) is None


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine with its lists in a temporary folder, and without variables."""
    for name in (*authorities.VARIABLES, "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)
    for name, pattern in (("PUBLIC", "public/**/*"), ("ADDED", "added/*"), ("BUNDLES", "certs/bundle.pem")):
        monkeypatch.setattr(authorities, name, (str(tmp_path / pattern),))
        (tmp_path / pattern).parent.mkdir(parents=True) if "**" not in pattern else (tmp_path / "public").mkdir()
    (tmp_path / "public" / "a.crt").write_text(pem(PUBLIC))
    (tmp_path / "certs" / "bundle.pem").write_text(f"# A comment\n{pem(PUBLIC)}{pem(COMPANY)}")
    return tmp_path


def test_a_certificate_that_was_added_is_found_without_a_registry(host: Path) -> None:
    """It is in the folder for added certificates; no site is asked."""
    (host / "added" / "company.crt").write_text(pem(COMPANY))
    assert anyio.run(find, ["registry.test"]) == (frozenset({COMPANY}), frozenset({PUBLIC}))


def test_files_that_variables_name_count_and_the_bundle_itself_does_not(
    host: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A variable that names the system's bundle or its folder adds nothing."""
    (host / "own.pem").write_text(pem(b"own"))
    (host / "folder").mkdir()
    (host / "folder" / "x.pem").write_text(pem(b"folder"))
    monkeypatch.setenv("PIP_CERT", str(host / "own.pem"))
    monkeypatch.setenv("CURL_CA_BUNDLE", str(host / "gone.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(host / "certs" / "bundle.pem"))
    monkeypatch.setenv("SSL_CERT_DIR", f"{host / 'folder'}:{host / 'certs'}")
    (host / "named.pem").write_text(pem(b"named"))
    (host / "certs" / "bundle.pem").write_text(pem(PUBLIC))
    assert anyio.run(find, [], [str(host / "named.pem")])[0] == {b"own", b"folder", b"named"}


def test_registries_decide_about_unknown_certificates(
    host: Path, company: Company, listen: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the unknown certificates only the presented one is the company's; offline, both are."""
    (host / "certs" / "bundle.pem").write_text(f"{company.text}{company.other}")
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{listen(company.proxy)}")
    assert anyio.run(find, ["registry.test", "other.test"])[0] == {company.der}
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
    assert anyio.run(find, ["registry.test"])[0] == certificates(f"{company.text}{company.other}")


def test_invalid_certificates_are_ignored(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading the files and asking registries still works."""
    cut = "-----BEGIN CERTIFICATE-----\nQUJDR\n-----END CERTIFICATE-----\n"
    (host / "certs" / "bundle.pem").write_text(f"{cut}{pem(b'no certificate')}")
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
    assert anyio.run(find, ["registry.test"])[0] == {b"no certificate"}


def test_macos_keeps_them_in_keychains(monkeypatch: pytest.MonkeyPatch, company: Company) -> None:
    """They are read from the output of `security find-certificate -a -p` for the system's and the public keychain."""

    async def run(argv: list[str]) -> process.Completed:
        if BROKEN in argv:
            raise EngineError("`security` is not installed")
        both = [pem(PUBLIC)] if argv[-1] == authorities.PUBLIC_KEYCHAIN else [company.text, pem(PUBLIC)]
        return process.Completed(0, "".join(both).encode(), b"")

    monkeypatch.setattr(process, "run", run)
    trust = anyio.run(authorities._keychains)
    assert company_cas(trust, None) == {company.der}
    monkeypatch.setattr(authorities, "ADDED_KEYCHAIN", BROKEN)
    assert anyio.run(authorities._keychains) == Trust()


@pytest.mark.parametrize(
    ("address", "proxy", "server", "is_secured"),
    [
        ("https://r.test/v2/", "", ("r.test", 443), True),
        ("https://r.test:5000/v2/", "", ("r.test", 5000), True),
        ("http://127.0.0.1/v2/", "", ("127.0.0.1", 80), False),
        ("https://r.test/v2/", "http://p.test:3128", ("p.test", 3128), True),
        ("https://r.test/v2/", "https://p.test", ("p.test", 443), True),
        ("http://r.test/v2/", "http://p.test", ("p.test", 80), False),
    ],
)
def test_a_connection_is_to_the_site_or_to_its_proxy(
    address: str, proxy: str, server: tuple[str, int], is_secured: bool
) -> None:
    """Each scheme has its port; through a proxy, HTTPS is still HTTPS to the site."""
    made = connection(urlsplit(address), urlsplit(proxy) if proxy else None, 1)
    assert (made.host, made.port) == server
    assert isinstance(made, http.client.HTTPSConnection) == is_secured


def test_a_port_that_is_none_is_an_error() -> None:
    """Callers handle it as a site that cannot be reached."""
    with pytest.raises(ValueError, match="nonsense"):
        connection(urlsplit("https://r.test"), urlsplit("http://p.test:nonsense"), 1)


def test_a_context_ignores_what_is_no_certificate() -> None:
    """The context still trusts the authorities of this machine."""
    for added in ((), (b"nothing",)):
        made = context(added)
        assert made.verify_mode is ssl.CERT_REQUIRED
        assert not made.verify_flags & ssl.VERIFY_X509_STRICT
