"""What `persevere doctor` looks at, each found out by doing it."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass

from agent_orchestrator.cli.commands import settings_of
from agent_orchestrator.cli.render.text import clean
from config.settings import Settings
from shared.errors import PersevereError
from shared.types import Json


@dataclass(frozen=True)
class Check:
    """`needed` is false for what Persevere works without."""

    name: str
    ok: bool
    message: str
    next_step: str = ""
    needed: bool = True

    def line(self) -> str:
        mark = "ok  " if self.ok else ("FAIL" if self.needed else "--  ")
        advice = f"\n      {clean(self.next_step)}" if self.next_step and not self.ok else ""
        return f"{mark}  {self.name:<9} {clean(self.message)}{advice}"

    def as_json(self) -> Json:
        return asdict(self)


async def all_checks() -> AsyncIterator[Check]:
    """Settings first: without them nothing else can be looked at."""
    try:
        settings = settings_of()
    except PersevereError as error:
        yield _failed("settings", error)
        return
    yield Check("settings", True, f"data folder {settings.data_dir}")
    yield await _git()
    yield await _database(settings)
    if settings.redis_url is not None:
        yield await _redis(settings.redis_url, settings.checkpoints)
    yield await _sandbox(settings)
    yield _workers(settings)
    yield Check("forge", True, "local git: a pull request is a branch and a record")
    for name in (settings.model, *settings.model_fallbacks):
        yield await model_check(name, settings)


def _failed(name: str, error: PersevereError) -> Check:
    return Check(name, False, error.message, error.next_step)


async def _git() -> Check:
    program = shutil.which("git")
    if program is None:
        return Check("git", False, "git is not installed", "Install git (Debian: apt-get install git).")
    process = await asyncio.create_subprocess_exec(program, "--version", stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    return Check("git", process.returncode == 0, output.decode(errors="replace").strip())


async def _database(settings: Settings) -> Check:
    from sqlalchemy import text

    from agent_orchestrator.resources import open_resources

    try:
        async with open_resources(settings, worker=False) as resources, resources.database.connection() as connection:
            version = (await connection.execute(text("show server_version"))).scalar_one()
    except PersevereError as error:
        return _failed("database", error)
    return Check("database", True, f"PostgreSQL {version}, {'from DATABASE_URL' if settings.database_url else 'embedded'}")


async def _redis(url: str, checkpoints: str) -> Check:
    """Persevere works without it: PostgreSQL is the truth."""
    from shared.store.redis import open_redis

    async with open_redis(url) as redis:
        if redis.reason:
            said = f"{redis.place} cannot be used ({redis.reason}); PostgreSQL does its work meanwhile, more slowly"
            return Check("redis", False, said, "Start Redis, or correct or unset REDIS_URL.", needed=False)
        version = (await redis.attempt(lambda client: client.info("server")))["redis_version"]
        kept = "live events, rate limits and checkpoints" if checkpoints == "redis" else "live events and rate limits"
        return Check("redis", True, f"{version} at {redis.place}: {kept}")


def _workers(settings: Settings) -> Check:
    if settings.database_url is None:
        return Check("workers", True, "on this machine only; with DATABASE_URL also `persevere worker` on others")
    shared = "the database (artifacts are in it) and repositories named by a path; not the data folder"
    return Check("workers", True, f"any number of `persevere worker`; machines share {shared}")


async def model_check(name: str, settings: Settings) -> Check:
    """The provider is asked about the model, which costs nothing."""
    from shared.models.names import NONE, parse_model
    from shared.models.probe import probe
    from shared.models.registry import known_prices

    if name == NONE:
        advice = "For what no recipe can do set PERSEVERE_MODEL and its key: see GET /models, or .env.example."
        return Check("model", False, "none: recipes only", advice, needed=False)
    try:
        asked = await probe(parse_model(name), settings)
        price = known_prices(settings).of(name)
    except PersevereError as error:
        return _failed("model", error)
    cost = f"{price.input:g} and {price.output:g} USD for a million tokens in and out" if price is not None else "its price is unknown"
    return Check("model", True, f"{name} {'can be used' if asked else 'was not asked'}; {cost}")


async def _sandbox(settings: Settings) -> Check:
    from shared.sandbox.registry import choose_sandbox

    try:
        provider = await choose_sandbox(settings)
    except PersevereError as error:
        return _failed("sandbox", error)
    kind = "isolated" if provider.isolated else "NOT isolated: a repository's code can do what you can"
    return Check("sandbox", True, f"{provider.name} ({kind})")
