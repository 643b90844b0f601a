"""The level of lines that real programs print, and errors with their message and place."""

from __future__ import annotations

import pytest

from devenv.explain.log_lines import PATTERNS, TABLE, LoggedError, level, read

ERRORS = (
    "ERROR payment failed",
    "\x1b[31mERROR\x1b[0m payment failed",
    "\x1b[31m[ERROR]\x1b[0m payment failed",
    "Error: x",
    "TypeError: x",
    "java.lang.NullPointerException",
    "npm ERR! code ELIFECYCLE",
    "npm error code ELIFECYCLE",
    "\x1b[0m\x1b[37;40mnpm\x1b[0m \x1b[31;40mERR!\x1b[0m missing script: start",
    "[E] boom",
    "ERR boom",
    '12:00PM \x1b[31mERR\x1b[0m boom error="no such host"',  # zerolog
    "[12:00:00 ERR] Unhandled request",  # serilog
    '{"level":50,"time":1700000000000,"pid":1,"hostname":"x","msg":"boom"}',  # pino
    '{"name":"app","level":60,"msg":"boom","v":0}',  # bunyan
    '{"level":"error","ts":1.7,"caller":"x.go:3","msg":"boom"}',  # zap
    '{"severity":"ERROR","message":"boom"}',
    '{"@t":"2024-01-01T00:00:00Z","@mt":"boom","@l":"Error"}',
    '{"t":{"$date":"2024-01-01T00:00:00Z"},"s":"E","c":"STORAGE","msg":"boom"}',  # MongoDB
    '{"log.level":"error","message":"boom"}',
    '{"log":{"level":"fatal"},"message":"boom"}',
    '{"message":"x","error":"connection refused"}',
    '{"method":"GET","path":"/","status":502}',
    'time="2024-01-01T00:00:00Z" level=error msg="boom"',
    "time=2024-01-01T00:00:00.000Z level=ERROR msg=boom",
    "t=2024-01-01T00:00:00+0000 lvl=eror msg=boom",
    '2024-01-01 app: {"level":"error","msg":"the line of a wrapper"}',
    '127.0.0.1 - - [01/Jan/2024:00:00:00 +0000] "GET / HTTP/1.1" 500 157 "-" "curl/8"',  # nginx
    'INFO:     172.18.0.1:41242 - "GET /boom HTTP/1.1" 500 Internal Server Error',  # uvicorn
    '[01/Jan/2024 00:00:00] "GET /x HTTP/1.1" 500 145',  # Django
    "GET /api 500",
    "\x1b[0mGET /api \x1b[31m503\x1b[0m 12.345 ms - 12\x1b[0m",  # morgan
    " GET /api/x 500 in 12ms",  # next
    '[GIN] 2024/01/01 - 12:00:00 | 500 |  1.2ms |  127.0.0.1 | GET      "/x"',
    "Completed 500 Internal Server Error in 5ms (ActiveRecord: 0.0ms)",  # Rails
    "[info] Sent 500 in 12ms",  # Phoenix
    "[Mon Jan  1 00:00:00 2024] 127.0.0.1:5 [500]: GET /x - Uncaught Exception",  # PHP's own server
    "method=GET path=/x format=html status=500 duration=5.3",  # lograge
    '2024/01/01 "GET http://localhost/ HTTP/1.1" from 172.18.0.1:5 - 500 12B in 1ms',  # chi
    '2024-01-01 00:00:00.000 UTC [34] ERROR:  relation "x" does not exist at character 15',  # PostgreSQL
    '2024-01-01 00:00:00.000 UTC [34] FATAL:  role "root" does not exist',
    "2024-01-01T00:00:00.0Z 0 [ERROR] [MY-010119] [Server] Aborting",  # MySQL
    "2024/01/01 12:00:00 [error] 7#7: *1 open() failed (2: No such file or directory)",  # nginx
    'nginx: [emerg] host not found in upstream "api" in /etc/nginx/conf.d/default.conf:3',
    "[Mon Jan 01 00:00:00.1 2024] [core:error] [pid 1] AH00037: x",  # Apache
    "[2024-01-01 00:00:00 +0000] [7] [ERROR] Exception in worker process",  # gunicorn
    "[2024-01-01 00:00:00,000: ERROR/ForkPoolWorker-1] Task x raised unexpected",  # Celery
    "2024-01-01 00:00:00.000 | ERROR    | app:main:12 - boom",  # loguru
    "2024-01-01T00:00:00.000Z ERROR 1 --- [main] o.s.b.SpringApplication : Application run failed",  # Spring
    "00:00:00.000 [main] ERROR com.example.App - boom",
    "[2024-01-01T00:00:00Z ERROR app] boom",  # env_logger
    "00:00:00.000 [error] GenServer #PID<0.1.0> terminating",  # Elixir
    "E, [2024-01-01T00:00:00.000000 #1] ERROR -- : boom",  # Ruby
    "E0102 12:00:00.000000       1 reflector.go:138] boom",  # klog
    "\x1b[31mE0102 12:00:00.000000       1 reflector.go:138] boom\x1b[0m",
    "fail: Microsoft.AspNetCore.Server.Kestrel[13]",  # .NET
    "CRITICAL:root:boom",
    "ERROR:root:boom",
    "2024-01-01 00:00:00 error: boom",  # winston
    "error Command failed with exit code 1.",  # yarn
    '✘ [ERROR] Expected ";" but found "x"',  # esbuild
    '12:00:00 AM [vite] Internal server error: Failed to resolve import "./x"',
    " ⨯ ./app/page.tsx",  # next
    "Failed to compile.",
    "src/index.ts(3,5): error TS2322: Type 'string' is not assignable to type 'number'.",
    "\x1b[96msrc/index.ts\x1b[0m:3:5 - \x1b[91merror\x1b[0m\x1b[90m TS2322: \x1b[0mType 'string'",
    "12:00:00 AM - Found 2 errors. Watching for file changes.",
    "\x1b[31m[nodemon] app crashed - waiting for file changes before starting...\x1b[39m",
    "Failed running 'index.js'",  # node --watch
    "Killed",
    "./main.go:8:2: undefined: x",
    "error[E0425]: cannot find value `x` in this scope",  # rustc
    'PHP Parse error:  syntax error, unexpected token "}" in /app/index.php on line 3',
    "app.rb:3:in 'foo': undefined local variable or method 'x' (NameError)",
    "/bin/sh: 1: uvicorn: not found",
    "bash: line 1: foo: command not found",
    "Segmentation fault (core dumped)",
    "panic: runtime error: index out of range [3] with length 3",
    "PANIC at",
    "Traceback (most recent call last):",
    "error: 01",
    '"error": "bad"',
    "fatal: not a git repository",
)  # fmt: skip
WARNINGS = (
    "Warning: x",
    "\x1b[33mWARN\x1b[0m disk is nearly full",
    "0 errors, 1 warning",
    "npm WARN deprecated x@1",
    "npm warn deprecated x@1",
    '{"level":40,"msg":"slow"}',
    'level=warning msg="an error, tried again"',
    "1:M 01 Jan 2024 00:00:00.000 # WARNING Memory overcommit must be enabled!",  # Redis
    "2024-01-01T00:00:00.0Z 0 [Warning] [MY-010068] [Server] CA certificate is self signed.",
    "W0102 12:00:00.000000       1 x.go:1] slow",
    "warn: Microsoft.Hosting[0]",
    "/app/x.py:3: DeprecationWarning: old",
    "[12:00:00 WRN] slow",
    "PHP Warning:  Undefined variable $x in /app/index.php on line 3",
    "[2024-01-01T00:00:00,000][WARN ][o.e.x] [node] slow",  # Elasticsearch
    '▲ [WARNING] Import "x" will always be undefined',
)  # fmt: skip
NEITHER = (
    "fine", "terror", "", "GET /a", "0 errors", "no errors", "Found 0 errors. Watching for file changes.",
    "error_log=/var/log/nginx/error.log", "errors: []", '{"errors":[]}', '{"error":null}', "error=nil ok",
    "error: 0 files", "the backup ended without error",
    "INFO no error", "INFO: error reporting is on", "[info] 3 errors were corrected", "DEBUG error handler installed",
    '{"level":30,"msg":"error handler ready"}', '{"level":"info","msg":"no error"}', 'level=info msg="error=nil"',
    '{"t":{"$date":"2024-01-01T00:00:00Z"},"s":"I","c":"CONTROL","msg":"error"}',
    '127.0.0.1 - - [01/Jan/2024:00:00:00 +0000] "GET /error HTTP/1.1" 200 157 "-" "curl/8"',
    'INFO:     172.18.0.1:41242 - "GET /errors/500 HTTP/1.1" 404 Not Found',
    "GET /error 200 12 ms - 500", "GET /static/error.js 304",
    '[GIN] 2024/01/01 - 12:00:00 | 200 |  1.2ms | GET "/error"',
    "open /etc/nginx/error.conf", "--log-error=/dev/stderr", "using error-page.html", "registered the error handler",
    "2024-01-01 00:00:00.000 UTC [1] LOG:  database system is ready to accept connections",
    "2024-01-01 00:00:00.000 UTC [1] STATEMENT:  select error from log",
    "2024-01-01T00:00:00.0Z 0 [System] [MY-010931] [Server] ready for connections",
    "1:M 01 Jan 2024 00:00:00.000 * Ready to accept connections",
    "I0102 12:00:00.000000       1 x.go:1] no error", "info: Microsoft.Hosting.Lifetime[14]",
    "npm notice New major version",
    "I, [2024-01-01T00:00:00.000000 #1]  INFO -- : the error page was rendered", "added 500 packages in 3s",
    "console.error(x)", "5 vulnerabilities (1 moderate, 3 critical)",
    "12:00:00 AM [vite] hmr update /src/error/App.tsx",
    "warnings: 0", "port 5000", "listening on 0.0.0.0:5000", "status=200 path=/error", "on error resume next",
    '{"level": "info", "msg": "cut off', "\x1b[32minfo\x1b[0m - ready", "setting log_level=error",
)  # fmt: skip


@pytest.mark.parametrize("line", ERRORS)
def test_error_lines(line: str) -> None:
    """A line of a program that tells an error, in colour or not."""
    assert level(line) == read(line, None)[0] == "error"


@pytest.mark.parametrize("line", WARNINGS)
def test_warning_lines(line: str) -> None:
    """A line that warns, also of an error."""
    assert level(line) == read(line, None)[0] == "warn"


@pytest.mark.parametrize("line", NEITHER)
def test_lines_that_are_neither_error_nor_warning(line: str) -> None:
    """The word "error" in a path, a name, a count of zero, or after another level is not an error."""
    assert level(line) == read(line, None)[0] == ""


# The output of a program, its lines that belong to the error (from, to), and the error.
BLOCKS = {
    "python": (
        """
INFO:     Waiting for changes
Process SpawnProcess-2:
Traceback (most recent call last):
  File "/usr/local/lib/python3.13/multiprocessing/process.py", line 313, in _bootstrap
    self.run()
    ~~~~~~~~^^
  File "/app/main.py", line 63
    def broken(:
               ^
SyntaxError: invalid syntax
INFO:     Stopping reloader""",
        (2, 9), "main.py:63: SyntaxError: invalid syntax",
    ),
    "python, in a library": (
        """
Traceback (most recent call last):
  File "/app/app/db.py", line 7, in connect
    return psycopg.connect(url)
  File "/usr/local/lib/python3.13/site-packages/psycopg/connection.py", line 119, in connect
    raise last_ex.with_traceback(None)
psycopg.OperationalError: connection failed: refused
done""",
        (0, 5), "db.py:7: psycopg.OperationalError: connection failed: refused",
    ),
    "python, chained": (
        """
ERROR:    Exception in ASGI application
Traceback (most recent call last):
  File "/app/a.py", line 1, in f
    1 / 0
ZeroDivisionError: division by zero

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "/app/b.py", line 2, in g
    f()
app.Broken: no

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "/app/c.py", line 3, in h
    g()
sqlalchemy.exc.OperationalError: no such table: users
[SQL: select name from users where id = ?]
[parameters: (1,)]
(Background on this error at: https://sqlalche.me/e/20/e3q8)
INFO:     ok""",
        (0, 21), "c.py:3: sqlalchemy.exc.OperationalError: no such table: users",
    ),
    "python, a group": (
        """
  + Exception Group Traceback (most recent call last):
  |   File "/app/main.py", line 9, in <module>
  | ExceptionGroup: unhandled errors in a TaskGroup (1 sub-exception)
  +-+---------------- 1 ----------------
    | Traceback (most recent call last):
    |   File "/app/main.py", line 5, in f
    |     raise ValueError("x")
    | ValueError: x
    +------------------------------------
fine""",
        (0, 8), "main.py:5: ValueError: x",
    ),
    "python, indented below a line of the log": (
        """
[E 261201 10:13:37 base_events:1771] Future exception was never retrieved
    Traceback (most recent call last):
      File "/usr/local/lib/python3.11/site-packages/kombu/virtual/base.py", line 961, in create_channel
        return self._avail_channels.pop()
    IndexError: pop from empty list

    During handling of the above exception, another exception occurred:

    Traceback (most recent call last):
      File "/usr/local/lib/python3.11/site-packages/kombu/redis.py", line 2072, in _get_client
        raise VersionMismatch(
    kombu.exceptions.VersionMismatch: Redis transport requires redis-py 6.1.0
[I 261201 10:13:38 command:170] Broker: redis""",
        (0, 11), "redis.py:2072: kombu.exceptions.VersionMismatch: Redis transport requires redis-py 6.1.0",
    ),
    "python, a script": (
        """
  File "/app/main.py", line 1
    def broken(:
               ^
SyntaxError: invalid syntax
fine""",
        (0, 3), "main.py:1: SyntaxError: invalid syntax",
    ),
    "node, syntax": (
        """
[nodemon] starting `node index.js`
/app/index.js:3
const x = ;
          ^

SyntaxError: Unexpected token ';'
    at wrapSafe (node:internal/modules/cjs/loader:1464:18)
    at Module._compile (node:internal/modules/cjs/loader:1495:20)

Node.js v22.1.0
[nodemon] app crashed - waiting for file changes before starting...""",
        (1, 9), "index.js:3: SyntaxError: Unexpected token ';'",
    ),
    "node, a word of an error in the line of the source": (
        """
/app/lib.js:3
    throw error;
    ^

RangeError: too many
    at Object.<anonymous> (/app/lib.js:2:15)
    at Object.<anonymous> (/app/index.js:1:14)

Node.js v22.1.0
x""",
        (0, 8), "lib.js:3: RangeError: too many",
    ),
    "node, no module": (
        """
node:internal/modules/cjs/loader:1228
  throw err;
  ^

Error: Cannot find module 'left-pad'
Require stack:
- /app/index.js
    at Module._resolveFilename (node:internal/modules/cjs/loader:1225:15)
    at Object.<anonymous> (/app/index.js:1:14) {
  code: 'MODULE_NOT_FOUND',
  requireStack: [ '/app/index.js' ]
}

Node.js v22.1.0
x""",
        (0, 13), "index.js:1: Error: Cannot find module 'left-pad'",
    ),
    "node, a module": (
        """
file:///app/index.mjs:3
const x = ;
          ^

SyntaxError: Unexpected token ';'
    at compileSourceTextModule (node:internal/modules/esm/utils:346:16)

Node.js v22.1.0
x""",
        (0, 7), "index.mjs:3: SyntaxError: Unexpected token ';'",
    ),
    "node, printed": (
        """
TypeError: Cannot read properties of undefined (reading 'id')
    at Layer.handle [as handle_request] (/app/node_modules/express/lib/router/layer.js:95:5)
    at /app/src/routes/users.ts:12:9
GET /users 500 3 ms""",
        (0, 2), "users.ts:12: TypeError: Cannot read properties of undefined (reading 'id')",
    ),
    "esbuild": (
        """
✘ [ERROR] Expected ";" but found "x"

    src/main.ts:3:4:
      3 │ let x
fine""",
        (0, 1), '✘ [ERROR] Expected ";" but found "x"',
    ),
    "java": (
        """
Exception in thread "main" java.lang.IllegalStateException: start failed
\tat org.springframework.boot.SpringApplication.run(SpringApplication.java:300)
\tat com.example.App.main(App.java:12)
Caused by: java.lang.NullPointerException: url is null
\tat com.example.Db.open(Db.java:44)
\t... 3 more
fine""",
        (0, 5), "Db.java:44: java.lang.NullPointerException: url is null",
    ),
    "java, in libraries": (
        """
Exception in thread "main" java.lang.IllegalArgumentException: no port
\tat java.base/java.util.Optional.orElseThrow(Optional.java:403)
\tat org.hibernate.Session.open(Session.java:7)
\tat com.example.App.main(App.java:12)
fine""",
        (0, 3), 'App.java:12: Exception in thread "main" java.lang.IllegalArgumentException: no port',
    ),
    "go, in another goroutine": (
        """
panic: runtime error: invalid memory address or nil pointer dereference
[signal SIGSEGV: segmentation violation code=0x1 addr=0x0 pc=0x4b2f]

goroutine 7 [running]:
net/http.(*conn).serve(0xc0000a2000, {0x7f, 0x2})
\t/usr/local/go/src/net/http/server.go:2092 +0x5d0
main.(*Store).Load(0x0)
\t/app/store.go:8 +0x1d
created by main.main in goroutine 1
\t/app/main.go:4 +0x1d
fine""",
        (0, 9), "store.go:8: panic: runtime error: invalid memory address or nil pointer dereference",
    ),
    "go": (
        """
panic: runtime error: index out of range [3] with length 3

goroutine 1 [running]:
main.load(...)
\t/app/store.go:8
main.main()
\t/app/main.go:4 +0x1d
exit status 2
fine""",
        (0, 7), "store.go:8: panic: runtime error: index out of range [3] with length 3",
    ),
    "go, compiler": ("\n# app\n./main.go:8:2: undefined: x\nfine", (1, 1), "./main.go:8:2: undefined: x"),
    "ruby": (
        """
app.rb:3:in 'foo': undefined local variable or method 'x' for main (NameError)
\tfrom app.rb:10:in '<main>'
fine""",
        (0, 1), "app.rb:3:in 'foo': undefined local variable or method 'x' for main (NameError)",
    ),
    "php": (
        """
PHP Fatal error:  Uncaught Exception: boom in /app/index.php:3
Stack trace:
#0 {main}
  thrown in /app/index.php on line 3
fine""",
        (0, 3), "PHP Fatal error:  Uncaught Exception: boom in /app/index.php:3",
    ),
    "rust": (
        """
thread 'main' panicked at src/main.rs:4:5:
boom
note: run with `RUST_BACKTRACE=1` environment variable to display a backtrace
fine""",
        (0, 2), "main.rs:4: boom",
    ),
    ".net": (
        """
Unhandled exception. System.InvalidOperationException: boom
   at Program.Main() in /app/Program.cs:line 5
fine""",
        (0, 1), "Program.cs:5: Unhandled exception. System.InvalidOperationException: boom",
    ),
    "uvicorn": (
        """
ERROR:    Traceback (most recent call last):
  File "/usr/local/lib/python3.13/site-packages/starlette/routing.py", line 661, in lifespan
    async with self.lifespan_context(app) as maybe_state:
  File "/srv/app/main.py", line 26, in lifespan
    async with db.openedd():
AttributeError: module 'app.db' has no attribute 'openedd'
fine""",
        (0, 5), "main.py:26: AttributeError: module 'app.db' has no attribute 'openedd'",
    ),
    "perl": (
        """
syntax error at /app/site.pl line 2, near "= ;"
Execution of /app/site.pl aborted due to compilation errors.""",
        (0, 0), 'site.pl:2: syntax error at /app/site.pl line 2, near "= ;"',
    ),
    "json": (
        r"""
{"level":50,"err":{"type":"Error","message":"boom","stack":"Error: boom\n    at f (/app/x.js:5:3)"},"msg":"failed"}
{"level":30,"msg":"fine"}""",
        (0, 0), "x.js:5: failed",
    ),
    **{
        f"before `{line}`": (
            f'\nTraceback (most recent call last):\n  File "/srv/a.py", line 8\n    x\nNameError: x\n{line}\nfine',
            (0, 3), "a.py:8: NameError: x",
        )
        for line in (
            " * Detected change in '/srv/app.py', reloading", " * Restarting with stat", " * Debugger is active!",
        )
    },
    "a line": ("\n2024-01-01 00:00:00,123 ERROR app: no\n    an indented line", (0, 0), "ERROR app: no"),
    "none": ("\nINFO:     ok\n    indented", None, ""),
}  # fmt: skip


@pytest.mark.parametrize("name", BLOCKS)
def test_an_error_of_many_lines(name: str) -> None:
    """All lines of a traceback have the level of an error; they are one error, with message and place."""
    text, span, message = BLOCKS[name]
    error: LoggedError | None = None
    errors, marked = [], []
    for number, line in enumerate(text.removeprefix("\n").split("\n")):
        _, error = read(line, error)
        if error is not None:
            errors += [error] if error.lines == 1 else []
            errors[-1] = error
            marked += [number] if len(errors) == 1 else []
    expected = list(range(span[0], span[1] + 1)) if span else []
    assert marked == expected
    assert (errors[0].text if errors else "") == message


def test_a_traceback_in_colour() -> None:
    """Escape sequences hide neither the beginning nor the message."""
    _, error = read("\x1b[31mTraceback (most recent call last):\x1b[0m", None)
    _, error = read('\x1b[2m  File "/app/main.py", line 63\x1b[0m', error)
    found, error = read("\x1b[31mSyntaxError: invalid syntax\x1b[0m", error)
    assert (found, error and error.text) == ("error", "main.py:63: SyntaxError: invalid syntax")


def test_the_place_of_an_error_after_the_lines_of_node_itself() -> None:
    """The second source is the one of the project."""
    error: LoggedError | None = None
    own = [
        "file:///srv/src/app.ts:44",
        "}",
        "const x = ;",
        "          ^",
        "",
        "SyntaxError [CODE]: Expression expected",
    ]
    for line in ("node:internal/modules/run_main:123", "    triggerUncaughtException(", "    ^", "", *own):
        _, error = read(line, error)
    assert error is not None
    assert error.text == "app.ts:44: SyntaxError [CODE]: Expression expected"


def test_a_traceback_without_end() -> None:
    """An endless traceback is an error for a bounded number of lines."""
    error: LoggedError | None = None
    found = "error"
    for line in ("Traceback (most recent call last):", *["  x"] * 1000):
        found, error = read(line, error)
    assert (found, error) == ("", None)


@pytest.mark.parametrize("name", TABLE["patterns"])
def test_each_pattern_is_a_regular_expression(name: str) -> None:
    """Patterns are compiled when they are first used, which may be long after the start."""
    assert PATTERNS[name].pattern
