"""Choosing a sandbox: by name, or the strongest that works here."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from shared.errors import SandboxError
from shared.sandbox.port import SandboxProvider

if TYPE_CHECKING:
    from pydantic import SecretStr

_UNSAFE = "or, only for code you trust, set PERSEVERE_SANDBOX=process, which is unsafe: it isolates nothing"


class SandboxSettings(Protocol):
    """What the providers are built from; `config.settings.Settings` has it."""

    @property
    def data_dir(self) -> Path: ...
    @property
    def sandbox(self) -> str: ...
    @property
    def sandbox_image(self) -> str: ...
    @property
    def sandbox_runtime(self) -> str | None: ...
    @property
    def sandbox_template(self) -> str: ...
    @property
    def sandbox_ttl_s(self) -> int: ...
    @property
    def e2b_api_key(self) -> SecretStr | None: ...
    @property
    def e2b_api_url(self) -> str | None: ...
    @property
    def e2b_sandbox_url(self) -> str | None: ...


def _bubblewrap(settings: SandboxSettings) -> SandboxProvider:
    from shared.sandbox.bubblewrap import BubblewrapProvider

    return BubblewrapProvider()


def _landlock(settings: SandboxSettings) -> SandboxProvider:
    from shared.sandbox.landlock import LandlockProvider

    return LandlockProvider(settings.data_dir)


def _process(settings: SandboxSettings) -> SandboxProvider:
    from shared.sandbox.process import ProcessProvider

    return ProcessProvider(settings.data_dir)


def _docker(settings: SandboxSettings) -> SandboxProvider:
    from shared.sandbox.docker import DockerProvider

    return DockerProvider(settings.sandbox_image, settings.sandbox_runtime, settings.sandbox_ttl_s)


def _e2b(settings: SandboxSettings) -> SandboxProvider:
    from shared.sandbox.e2b import E2BProvider
    from shared.sandbox.e2b_machine import E2BAccount

    urls = settings.e2b_api_url, settings.e2b_sandbox_url
    return E2BProvider(E2BAccount(settings.e2b_api_key, settings.sandbox_template, settings.sandbox_ttl_s, *urls))


PROVIDERS: dict[str, Callable[[SandboxSettings], SandboxProvider]] = {
    "bubblewrap": _bubblewrap,
    "landlock": _landlock,
    "docker": _docker,
    "process": _process,
    "e2b": _e2b,
}
"""In the order in which `auto` tries them."""
NEEDS_LINUX = ("bubblewrap", "landlock")
NEVER_AUTOMATIC = ("process", "e2b")


async def choose_sandbox(settings: SandboxSettings) -> SandboxProvider:
    """The provider of that name, or for `auto` the first isolated one whose probe works. SandboxError says what to do otherwise."""
    setting = settings.sandbox
    if setting != "auto" and setting not in PROVIDERS:
        raise SandboxError(f"There is no sandbox named {setting!r}.", f"Use one of: auto, {', '.join(PROVIDERS)}.")
    reasons = []
    next_step = ""
    for name in PROVIDERS if setting == "auto" else [setting]:
        if setting == "auto" and name in NEVER_AUTOMATIC:
            continue
        if name in NEEDS_LINUX and sys.platform != "linux":
            reasons.append(f"{name} needs Linux")
            continue
        provider = PROVIDERS[name](settings)
        probe = await provider.probe()
        if probe.works:
            return provider
        reasons.append(probe.reason)
        next_step = next_step or probe.next_step
    raise SandboxError(
        f"No sandbox works here: {'; '.join(reasons)}.", f"{next_step or 'Install bubblewrap: apt-get install bubblewrap'}, {_UNSAFE}."
    )
