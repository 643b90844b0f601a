"""A project with a web server on another machine, and requests to it by a port of this machine."""

from __future__ import annotations

import socket
from pathlib import Path

from support.cli import Devenv, StartDevenv
from support.docker_cli import BASE_IMAGE
from support.far import NAME, Far
from support.stack import free_port, unique_name

# Serves the text of `page`; at /stream, a connection that gets each new text, as for hot reload in a browser.
SERVER = r"""
use IO::Socket::INET;
$SIG{CHLD} = "IGNORE"; $SIG{TERM} = sub { exit };
my $server = IO::Socket::INET->new(LocalPort => 80, Listen => 50, ReuseAddr => 1) or die;
sub page { open(my $file, "<", "/app/page") or return ""; my $text = <$file>; return $text // "" }
while (1) {
    my $client = $server->accept or next;
    next if fork;
    my $head = <$client>;
    print $client "HTTP/1.0 200 OK\r\n\r\n", page();
    $client->flush;
    for (my $last = page(); $head =~ /stream/; select undef, undef, undef, 0.01) {
        my $now = page();
        if ($now ne $last and $now ne "") { print $client $last = $now or last; $client->flush }
    }
    exit;
}
"""
COMPOSE = """name: {name}
services:
  web:
    image: {image}
    init: true
    command: perl /app/server.pl
    stop_grace_period: 1s
    ports: ["{port}:80"]
    develop:
      watch: [{{action: sync, path: ./app, target: /app}}]
"""


class Site:
    """A project with a web server."""

    def __init__(self, folder: Path, far: Far, devenv: StartDevenv) -> None:
        self.folder, self.port, self._far, self._devenv = folder, free_port(), far, devenv
        (folder / "app").mkdir(parents=True)
        (folder / "app/server.pl").write_text(SERVER)
        text = COMPOSE.format(name=unique_name("far"), image=BASE_IMAGE, port=self.port)
        (folder / "compose.yml").write_text(text)
        self.save("one")

    def save(self, text: str) -> None:
        """Save the page."""
        (self.folder / "app/page").write_text(f"{text}\n")

    def run(self, *args: str, json_output: bool = True) -> Devenv:
        """Start devenv in the folder."""
        return self._devenv(*args, cwd=self.folder, env=self._far.env, json_output=json_output)

    def up(self, *args: str, on: str = NAME, timeout: float = 90) -> Devenv:
        """`devenv up` on the other machine, once all is up."""
        run = self.run("up", "--on", on, *args)
        run.wait_for("ready", timeout=timeout)
        return run

    def connection(self, path: str = "/", host: str = "127.0.0.1") -> socket.socket:
        """A connection to the server by the port of this machine, with a request for the path."""
        connection = socket.create_connection((host, self.port), 30)
        connection.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        return connection

    def shows(self, text: str, host: str = "127.0.0.1") -> bool:
        """Whether the server answers with this page."""
        try:
            with self.connection(host=host) as connection, connection.makefile() as answer:
                return answer.read().endswith(f"\n{text}\n")
        except OSError:
            return False
