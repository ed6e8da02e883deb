"""One virtual machine at E2B: kept alive while it is used, waited for while it or the way to it is away."""

from __future__ import annotations

import asyncio
import contextlib
import shlex
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit
from weakref import WeakSet

from pydantic import SecretStr

from shared.errors import SandboxError, SandboxGoneError, SandboxUnreachableError
from shared.sandbox.e2b_channel import E2BChannel
from shared.sandbox.e2b_errors import no_key, translate, unfit, unreachable

if TYPE_CHECKING:
    from e2b import AsyncSandbox

T = TypeVar("T")
USER, OWNER = "persevere", "keeper"
"""Whom commands run as, and whose the folders are that they may only read; `compose/sandbox/install.sh` makes both."""
_ROOT = "root"
_CLAIM = "/run/persevere-claim"
_DOMAIN = "e2b.app"
_LOOK_S = 8.0
_REQUEST_S = 30.0
_CHANGING_S = 120.0
"""For a pause or a resume, which move gigabytes."""
_SLOWEST = 100_000
"""Bytes in a second below which an upload is given up."""
_LONGEST_WAIT_S = 3.0


@dataclass(frozen=True)
class E2BAccount:
    """Where and as whom. `patience_s`: how long what cannot be reached is tried again; `ttl_s`: when an unused machine is paused."""

    key: SecretStr | None
    template: str
    ttl_s: int
    api_url: str | None = None
    sandbox_url: str | None = None
    patience_s: float = 60.0

    def options(self, request_s: float = _REQUEST_S) -> Any:
        """What every call of the SDK is given, so that it reads nothing from the environment. `SandboxError` without a key."""
        if self.key is None or not self.key.get_secret_value():
            raise no_key()
        return {
            "api_key": self.key.get_secret_value(),
            "api_url": self.api_url or f"https://api.{_DOMAIN}",
            "sandbox_url": self.sandbox_url,
            "domain": (urlsplit(self.api_url or "").hostname or _DOMAIN).removeprefix("api."),
            "debug": False,
            "request_timeout": request_s,
        }


class E2BMachine:
    """See `Machine`. The SDK's object is `sandbox`."""

    text = True
    bulk = True

    def __init__(self, account: E2BAccount, sandbox: AsyncSandbox) -> None:
        self.account, self.sandbox = account, sandbox
        self._channels: WeakSet[E2BChannel] = WeakSet()
        self._awake = asyncio.Event()
        self._awake.set()
        self._keeping = asyncio.create_task(self._keep())

    async def prepare(self, own: Sequence[str], owned: Sequence[str]) -> None:
        """Empty folders: `own` for commands, `owned` for copies they may only read."""
        script = "set -e; umask 022"
        for path, user in (*((path, USER) for path in own), *((path, OWNER) for path in owned)):
            above = " ".join(shlex.quote(str(parent)) for parent in Path(path).parents[:-1])
            script += f"; mkdir -p -- {shlex.quote(path)}; chown {user}: {shlex.quote(path)}"
            script += f"; chmod a+x {above}" if above else ""
        await self.ask(script, _ROOT)

    async def ask(self, script: str, user: str) -> str:
        """What a short shell script says, which may be run twice. `SandboxError` when it fails."""
        from e2b.sandbox.commands.command_handle import CommandExitException

        async def run() -> str:
            async with asyncio.timeout(_REQUEST_S):
                return str((await self.sandbox.commands.run(script, user=user, cwd="/", timeout=0, request_timeout=0)).stdout)

        try:
            return await self.persist(run)
        except CommandExitException as error:
            raise unfit(self.account.template, error.stderr) from error

    async def claim(self) -> bool:
        """Be the one who removes a left machine, unless somebody else has been at it for less than a quarter of an hour."""
        script = f"find {_CLAIM} -maxdepth 0 -mmin +15 -exec rmdir {{}} + 2>/dev/null; mkdir {_CLAIM} 2>/dev/null && echo ours"
        return (await self.ask(f"{script}; true", _ROOT)).strip() == "ours"

    async def release(self) -> None:
        """Let the next sweep try, and wait for it asleep."""
        await self.ask(f"rmdir {_CLAIM}", _ROOT)
        await self.pause()

    async def start(self, argv: Sequence[str], environment: dict[str, str], *, owner: bool = False) -> E2BChannel:
        channel = E2BChannel(self, OWNER if owner else USER, argv, environment)
        await channel.begin()
        self._channels.add(channel)
        return channel

    async def put(self, source: Path, target: str) -> None:
        limit = _REQUEST_S + source.stat().st_size / _SLOWEST

        async def upload() -> None:
            with source.open("rb") as file:
                async with asyncio.timeout(limit):
                    await self.sandbox.files.write(target, file, user=USER)

        await self._move(upload)

    async def get(self, source: str, target: Path, most: int) -> None:
        async def download() -> None:
            total = 0
            async with await self.sandbox.files.read(source, format="stream", user=USER) as parts:
                with target.open("wb") as file:
                    async for part in parts:
                        total += len(part)
                        if total > most:
                            raise SandboxError("The sandbox gave more than it should.")
                        file.write(part)

        await self._move(download)

    async def _move(self, call: Callable[[], Awaitable[None]]) -> None:
        from e2b.exceptions import NotFoundException

        try:
            await self.persist(call)
        except NotFoundException as error:
            raise SandboxError("A file that was to be copied is not in the sandbox any more.", "Try again.") from error

    async def look(self) -> None:
        """Somebody misses an answer: the machine is asked for, and the connections, which may be dead without a word, are made anew."""
        if await self._state() == "paused" and self._awake.is_set():
            await self.resume()
        self._listen_anew()

    def _listen_anew(self) -> None:
        for channel in self._channels:
            channel.listen_anew()

    async def pause(self) -> None:
        self._awake.clear()
        try:
            await self.persist(lambda: self.sandbox.pause(request_timeout=_CHANGING_S), asleep=True)
        except BaseException:
            self._awake.set()
            raise

    async def resume(self) -> None:
        await self.persist(self._connect, asleep=True)
        self._awake.set()
        self._listen_anew()

    async def remove(self) -> None:
        self._keeping.cancel()
        self._awake.set()
        with contextlib.suppress(SandboxGoneError):
            await self.persist(lambda: self.sandbox.kill())

    def forget(self) -> None:
        """Keep it alive no longer, and leave it as it is."""
        self._keeping.cancel()

    async def persist(self, call: Callable[[], Awaitable[T]], *, asleep: bool = False) -> T:
        """Call until it is answered, for as long as our patience lasts. The SDK's errors that tell of the call itself pass unchanged."""
        delay = 0.05
        until = time.monotonic() + self.account.patience_s
        while True:
            try:
                return await call()
            except Exception as error:
                if _tells_of_the_call(error):
                    raise
                if not self._awake.is_set() and not asleep:
                    until = time.monotonic() + self.account.patience_s
                await self.look_after(error, until, asleep=asleep)
            await asyncio.sleep(delay)
            delay = min(delay * 2, _LONGEST_WAIT_S)

    async def look_after(self, error: Exception, until: float | None = None, *, asleep: bool = False) -> None:
        """Find out what an error means: return if another try may help, else raise ours. Waits while the machine is paused by us."""
        problem = translate(error, self.account.template)
        if not isinstance(problem, SandboxGoneError | SandboxUnreachableError):
            raise problem from error
        if not asleep:
            await self._awake.wait()
        try:
            state = await self._state()
            if state == "paused" and not asleep:
                await self._connect()
        except Exception as other:
            problem = translate(other)
            if not isinstance(problem, SandboxUnreachableError):
                raise problem from other
        else:
            problem = unreachable("the sandbox runs, but cannot be reached")
        if until is not None and time.monotonic() > until:
            raise problem from error

    async def _state(self) -> str:
        """running or paused."""
        try:
            info = await self.sandbox.get_info(request_timeout=_LOOK_S, retries=1)
        except Exception as error:
            raise translate(error, self.account.template) from error
        return str(info.state.value)

    async def _connect(self) -> None:
        from e2b.exceptions import GuestUnresponsiveException

        try:
            await self.sandbox.connect(timeout=self.account.ttl_s, request_timeout=_CHANGING_S)
        except GuestUnresponsiveException:
            await self.sandbox.connect(timeout=self.account.ttl_s, request_timeout=_CHANGING_S, on_resume="reboot")

    async def _keep(self) -> None:
        """Move the time limit away for as long as we are here. What goes wrong shows itself at the next call."""
        while True:
            await asyncio.sleep(self.account.ttl_s / 3)
            if self._awake.is_set():
                with contextlib.suppress(Exception):
                    await self.sandbox.set_timeout(self.account.ttl_s)


def _tells_of_the_call(error: Exception) -> bool:
    """Whether E2B did answer: there is no such process or file, or the command failed."""
    from e2b import exceptions as known
    from e2b.sandbox.commands.command_handle import CommandExitException

    if isinstance(error, known.SandboxNotFoundException):
        return False
    return isinstance(error, CommandExitException | known.NotFoundException)
