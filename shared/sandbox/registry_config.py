"""Which package registries this machine's pip and npm are configured with, credentials included: read on the host, never inside."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import netrc
import os
import re
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

_ASK_PIP = """
import json
from pip._internal.configuration import Configuration
from pip._internal.models.index import PyPI
configuration = Configuration(isolated=False)
configuration.load()
print(json.dumps({"items": dict(configuration.items()), "default": PyPI.simple_url}))
"""
_TIMEOUT_S = 20.0


@dataclass(frozen=True)
class Origin:
    """One index or registry: its URL without credentials, and the `Authorization` it wants."""

    url: str
    authorization: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Registries:
    """`indexes`: pip's, the main one first. `links`: pip's find-links. `certificates`: the bundle pip is told to trust."""

    indexes: tuple[Origin, ...] = ()
    links: tuple[Origin, ...] = ()
    npm: Origin | None = None
    certificates: str | None = None


async def load_registries() -> Registries:
    """Ask pip and npm themselves. A tool that is missing here contributes nothing."""
    pip, npm = await asyncio.gather(_ask_pip(), _ask_npm())
    return build_registries(pip, npm, os.environ)


def build_registries(pip: dict[str, Any], npm: Origin | None, environment: Any) -> Registries:
    """`pip`: `items` as pip's configuration lists them (flat, or by file), and `default`, the index pip uses when told nothing."""
    items: dict[str, str] = {}
    for key, value in pip.get("items", {}).items():
        items.update(value if isinstance(value, dict) else {key: value})
    indexes: list[str] = []
    if _setting(items, environment, "no-index").lower() not in ("1", "true", "yes", "on"):
        main = _setting(items, environment, "index-url") or pip.get("default", "")
        indexes = [url for url in (main, *_setting(items, environment, "extra-index-url").split()) if url]
    links = [_as_url(link) for link in _setting(items, environment, "find-links").split()]
    return Registries(
        indexes=tuple(map(build_origin, dict.fromkeys(indexes))),
        links=tuple(build_origin(link) for link in dict.fromkeys(links) if not link.startswith("file:") or file_path(link).exists()),
        npm=npm,
        certificates=_setting(items, environment, "cert") or None,
    )


def build_origin(url: str) -> Origin:
    """The URL with its user part turned into an `Authorization`; without one, the netrc file is asked, as pip does."""
    parts = urlsplit(url)
    user, password = parts.username, parts.password
    if parts.scheme in ("http", "https") and user is None and parts.hostname:
        with contextlib.suppress(OSError, netrc.NetrcParseError):
            found = netrc.netrc(os.environ.get("NETRC")).authenticators(parts.hostname)
            if found:
                user, password = found[0], found[2]
    authorization = None
    if user is not None:
        pair = f"{unquote(user)}:{unquote(password or '')}"
        authorization = "Basic " + base64.b64encode(pair.encode()).decode()
    bare = urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
    return Origin(bare, authorization)


def file_path(url: str) -> Path:
    return Path(unquote(urlsplit(url).path))


def _as_url(link: str) -> str:
    return link if re.match(r"[a-z]+:", link) else Path(link).absolute().as_uri()


def _setting(items: dict[str, str], environment: Any, name: str) -> str:
    """As pip resolves an option of `pip install`: the environment, then [install], then [global]."""
    variable = environment.get("PIP_" + name.upper().replace("-", "_"))
    return str(variable or items.get(f":env:.{name}") or items.get(f"install.{name}") or items.get(f"global.{name}") or "").strip()


async def _ask_pip() -> dict[str, Any]:
    for python in dict.fromkeys([sys.executable, os.path.realpath(sys.executable), shutil.which("python3") or sys.executable]):
        with contextlib.suppress(ValueError, OSError, TimeoutError):
            answer = json.loads(await _output(python, "-I", "-c", _ASK_PIP))
            if isinstance(answer, dict):
                return answer
    return {}


async def _ask_npm() -> Origin | None:
    npm = shutil.which("npm")
    if npm is None:
        return None
    try:
        url, files = await asyncio.gather(_output(npm, "config", "get", "registry"), _output(npm, "config", "get", "globalconfig"))
    except (OSError, TimeoutError):
        return None
    url = url.strip()
    if urlsplit(url).scheme not in ("http", "https"):
        return None
    origin = build_origin(url)
    for file in (Path.home() / ".npmrc", Path(files.strip() or "/nonexistent")):
        with contextlib.suppress(OSError):
            authorization = npm_authorization(file.read_text(), origin.url)
            if authorization:
                return Origin(origin.url, authorization)
    return origin


def npm_authorization(text: str, url: str) -> str | None:
    """What an npmrc file says for a registry: `//host/path/:_authToken=…` or `:_auth=…`, with `${NAME}` from the environment."""
    parts = urlsplit(url)
    prefix = f"//{parts.netloc}{parts.path.rstrip('/')}/:"
    for line in text.splitlines():
        name, _, value = line.strip().partition("=")
        if name.strip().startswith(prefix):
            value = re.sub(r"\$\{(\w+)\}", lambda match: os.environ.get(match[1], ""), value.strip().strip('"'))
            kind = name.strip()[len(prefix) :]
            if kind in ("_authToken", "_auth") and value:
                return f"{'Bearer' if kind == '_authToken' else 'Basic'} {value}"
    return None


async def _output(*argv: str) -> str:
    process = await asyncio.create_subprocess_exec(
        *argv, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL, cwd="/"
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), _TIMEOUT_S)
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        raise
    return output.decode("utf-8", "replace")
