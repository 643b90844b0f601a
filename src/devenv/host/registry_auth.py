"""Read the credentials for registries that the docker CLI has stored, without writing them anywhere."""

from __future__ import annotations

import base64
import binascii
import json
import os
from collections.abc import Mapping
from typing import Any

import anyio

from devenv.docker import process
from devenv.docker.context import config_folder
from devenv.errors import ConfigError, EngineError
from devenv.model.images import HUB

HUB_KEY = "https://index.docker.io/v1/"
PATIENCE = 30.0  # seconds for a helper, which may ask the user for a password
TOKEN_USER = "<token>"  # noqa: S105 - the user name of helpers for a token
NO_ENTRY = "credentials not found"


async def credentials(host: str) -> str:
    """The value of X-Registry-Auth for a registry; empty if the docker CLI has no credentials for it.

    Raises EngineError for a credential helper that cannot be used, ConfigError for a broken config.json.
    """
    settings = await anyio.to_thread.run_sync(cli_settings)
    key = HUB_KEY if host == HUB else host
    helper = (settings.get("credHelpers") or {}).get(key) or settings.get("credsStore")
    known = await _from_helper(helper, key) if helper else _stored(settings.get("auths") or {}, key)
    return base64.urlsafe_b64encode(json.dumps({**known, "serveraddress": key}).encode()).decode() if known else ""


def cli_settings() -> dict[str, Any]:
    """The docker CLI's config.json; empty if it does not exist. Raises ConfigError if it is broken."""
    path = os.path.join(config_folder(), "config.json")
    try:
        with open(path, "rb") as file:
            settings = json.load(file)
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigError(f"cannot be read: {error.strerror}", file=path) from error
    except ValueError as error:
        raise ConfigError("is not JSON", hint="docker login writes it again", file=path) from error
    if not isinstance(settings, dict):
        return {}
    if not _is_valid(settings):
        raise ConfigError("is not in the format of the docker CLI", hint="docker login writes it again", file=path)
    return settings


def _is_valid(settings: Mapping[str, Any]) -> bool:
    """Whether the values that are used have the right types."""
    auths, helpers, proxies = (settings.get(name) or {} for name in ("auths", "credHelpers", "proxies"))
    if not all(isinstance(part, dict) for part in (auths, helpers, proxies)):
        return False
    given = [proxy or {} for proxy in proxies.values()]
    if not all(isinstance(proxy, dict) for proxy in given):
        return False
    texts = [settings.get("credsStore"), *helpers.values(), *(value for proxy in given for value in proxy.values())]
    return all(isinstance(text or "", str) for text in texts)


def _stored(auths: Mapping[str, Any], key: str) -> dict[str, str]:
    """The credentials in config.json for a registry, whose name may be an address there."""
    entry = auths.get(key) or next((auths[name] for name in auths if _host(name) == _host(key)), None)
    if not isinstance(entry, dict):
        return {}
    if token := entry.get("identitytoken"):
        return {"identitytoken": str(token)}
    try:
        user, _, password = base64.b64decode(entry.get("auth") or "").decode().partition(":")
    except (binascii.Error, UnicodeDecodeError, TypeError):
        return {}
    return {"username": user, "password": password.rstrip("\0")} if user else {}


def _host(name: str) -> str:
    return name.removeprefix("https://").removeprefix("http://").partition("/")[0]


async def _from_helper(helper: str, key: str) -> dict[str, str]:
    """The credentials for a registry from a helper. Errors do not quote its output, which may contain a secret."""
    program, config = f"docker-credential-{helper}", os.path.join(config_folder(), "config.json")
    hint = f"install {program}, or remove it from {config} and log in again: docker login {_host(key)}"
    try:
        with anyio.fail_after(PATIENCE):
            done = await process.run([program, "get"], stdin=key.encode())
    except EngineError as error:
        raise EngineError(f"{config} names a credential helper, and {error.message}", hint=hint) from error
    except TimeoutError as error:
        raise EngineError(f"`{program}` did not answer within {PATIENCE:.0f} seconds", hint=hint) from error
    if NO_ENTRY in done.text + done.error_text:
        return {}
    try:
        answer = json.loads(done.stdout)
        user, secret = str(answer["Username"]), str(answer["Secret"])
    except (ValueError, LookupError, TypeError):
        raise EngineError(f"`{program}` failed for {_host(key)}", hint=hint) from None
    return {"identitytoken": secret} if user == TOKEN_USER else {"username": user, "password": secret}
