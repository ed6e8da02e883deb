"""Everything that is opened for a process, on one exit stack, in the order it is needed."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from agent_orchestrator.model_keys.keys import UserKeys, load_keys
from agent_orchestrator.runtime.host import host_id, worker_id
from config.settings import Settings
from shared.approvals.policy import ApprovalPolicy, load_policy
from shared.artifacts.postgres import PostgresArtifacts
from shared.errors import SettingsError
from shared.events.feed import open_event_feed
from shared.events.port import Announcements, EventFeed
from shared.forge.local import LocalForge
from shared.forge.port import Forge
from shared.intent.port import Recogniser
from shared.intent.rules import RulesRecogniser
from shared.models.names import NONE, OwnKeys, has_own_key, parse_model
from shared.models.port import ModelPort
from shared.models.registry import choose_model
from shared.ratelimits.memory import NoLimit
from shared.ratelimits.port import RateLimiter
from shared.ratelimits.registry import build_limiter
from shared.recipes.port import RecipeBook
from shared.sandbox.port import SandboxProvider
from shared.secrets.box import SecretBox, open_box
from shared.store.database import Database, open_database
from workflows.loader import Workflows, load_workflows
from workflows.recipes.book import build_recipe_book

if TYPE_CHECKING:
    from shared.jobs.queue import JobQueue
    from shared.jobs.worker import JobWorker
    from shared.store.redis import RedisServer

CONFIG = Path(__file__).resolve().parents[1] / "config"
LOCAL_USER = "local"


@dataclass
class Resources:
    """Live handles. `worker` is None in a process that serves no runs."""

    settings: Settings
    database: Database
    feed: EventFeed
    artifacts: PostgresArtifacts
    jobs: JobQueue
    forge: Forge
    recipes: RecipeBook
    recogniser: Recogniser
    policy: ApprovalPolicy
    workflows: Workflows
    user_id: str = LOCAL_USER
    worker: JobWorker | None = None
    redis: RedisServer | None = None
    limiter: RateLimiter = field(default_factory=NoLimit)
    models: ModelPort | None = None
    """The model of the settings; None: recipes only."""
    _models: dict[str, ModelPort | None] = field(default_factory=dict)
    _provider: SandboxProvider | None = None
    _choosing: asyncio.Lock = field(default_factory=asyncio.Lock)

    @cached_property
    def box(self) -> SecretBox:
        """Encrypts what users store. `SettingsError` when the key of the data folder cannot be used."""
        key = self.settings.secret_key
        return open_box(key.get_secret_value() if key is not None else None, self.settings.data_dir)

    async def keys_of(self, user_id: str) -> UserKeys:
        """The keys of models that a user brought."""
        return await load_keys(self.database, lambda: self.box, user_id)

    def model_for(self, name: str | None, own: OwnKeys | None = None) -> ModelPort | None:
        """The model a task names, else the one of the settings; None: recipes only. `SettingsError` says what it lacks.

        `own`: where the user has a key for it, or for a fallback, that one is used.
        """
        setting = name or self.settings.model
        named = (setting, *self.settings.model_fallbacks) if setting != NONE else ()
        if any(has_own_key(parse_model(one), own) for one in named):
            return choose_model(setting, self.settings, own)
        if name is None or name == self.settings.model:
            return self.models
        if name not in self._models:
            self._models[name] = choose_model(name, self.settings)
        return self._models[name]

    async def sandbox(self) -> SandboxProvider:
        """The sandbox of this machine, found out by running it, once. `SandboxError` says how to get one."""
        async with self._choosing:
            if self._provider is None:
                from shared.sandbox.registry import choose_sandbox

                self._provider = await choose_sandbox(self.settings)
            return self._provider


@asynccontextmanager
async def open_resources(settings: Settings, *, worker: bool) -> AsyncIterator[Resources]:
    """Open the database (our own server unless `DATABASE_URL` names one), migrate it, and with `worker` serve runs."""
    from shared.jobs.queue import JobQueue
    from shared.store.migrate import upgrade

    _make_private(settings.data_dir)
    async with AsyncExitStack() as stack:
        url = settings.database_url or await _embedded(stack, settings.data_dir)
        await upgrade(url)
        redis = await _redis(stack, settings.redis_url)
        database = await stack.enter_async_context(open_database(url, pool_size=settings.database_pool))
        resources = Resources(
            settings=settings,
            database=database,
            feed=await stack.enter_async_context(open_event_feed(database, await _announcements(stack, redis, database))),
            artifacts=PostgresArtifacts(settings.data_dir),
            jobs=JobQueue(database.conninfo, name=worker_id(), host=host_id()),
            forge=LocalForge(settings.data_dir),
            recipes=build_recipe_book(),
            recogniser=RulesRecogniser(),
            policy=load_policy(CONFIG / "approvals.yaml"),
            workflows=load_workflows(),
            redis=redis,
            limiter=build_limiter(settings.requests_per_minute, redis),
            models=choose_model(settings.model, settings),
        )
        if worker:
            from agent_orchestrator.runtime.worker import open_run_worker

            resources.worker = await stack.enter_async_context(open_run_worker(resources))
        yield resources


async def _embedded(stack: AsyncExitStack, data_dir: Path) -> str:
    from shared.store.embedded import open_embedded_postgres

    return await stack.enter_async_context(open_embedded_postgres(data_dir))


async def _redis(stack: AsyncExitStack, url: str | None) -> RedisServer | None:
    """Redis, if one is named. It need not answer: PostgreSQL is the truth, and all there is until it does."""
    if url is None:
        return None
    from shared.store.redis import open_redis

    return await stack.enter_async_context(open_redis(url))


async def _announcements(stack: AsyncExitStack, redis: RedisServer | None, database: Database) -> Announcements | None:
    """How servers tell one another of new events: over Redis if there is one, else PostgreSQL does it alone."""
    if redis is None:
        return None
    from shared.events.redis import open_redis_announcements

    return await stack.enter_async_context(open_redis_announcements(redis, database))


def _make_private(data_dir: Path) -> None:
    """The data folder is its owner's alone."""
    try:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name in ("artifacts", "workspaces", "environments"):
            (data_dir / name).mkdir(exist_ok=True, mode=0o700)
    except OSError as exc:
        raise SettingsError(
            f"The data folder {data_dir} cannot be made: {os.strerror(exc.errno or 0)}.", "Set PERSEVERE_DATA_DIR to a folder you own."
        ) from exc
