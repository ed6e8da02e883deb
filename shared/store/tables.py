"""The tables, as SQLAlchemy Core. Changing one needs a migration beside it in `migrations/versions`.

JSON is kept as text (`JSON`, not `JSONB`): what was hashed before it was stored hashes the same when it is read back.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    DateTime,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Numeric,
    Table,
    Text,
    UniqueConstraint,
    false,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSON

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
    }
)


def _json(name: str, *, nullable: bool = False) -> Column[object]:
    return Column(name, JSON(none_as_null=True), nullable=nullable)


def _time(name: str, *, nullable: bool = False) -> Column[object]:
    return Column(name, DateTime(timezone=True), nullable=nullable, server_default=None if nullable else func.now())


def _task(*, nullable: bool = False, primary_key: bool = False) -> Column[object]:
    return Column("task_id", Text, ForeignKey("tasks.id", ondelete="CASCADE"), nullable=nullable, primary_key=primary_key)


projects = Table(
    "projects",
    metadata,
    Column("id", Text, primary_key=True),
    Column("user_id", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("repo", Text, nullable=False),
    Column("default_branch", Text),
    _json("settings"),
    _time("created_at"),
    _json("budget", nullable=True),
    Index("ix_projects_user_id_created_at", "user_id", "created_at", "id"),
    Index("ix_projects_user_id_repo", "user_id", "repo"),
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", Text, primary_key=True),
    Column("user_id", Text, nullable=False),
    Column("project_id", Text, ForeignKey("projects.id", ondelete="SET NULL")),
    Column("title", Text, nullable=False),
    _json("draft", nullable=True),
    _json("context"),
    _time("created_at"),
    _time("updated_at"),
    Index("ix_sessions_user_id_updated_at", "user_id", "updated_at", "id"),
    Index("ix_sessions_project_id_updated_at", "project_id", "updated_at", "id"),
)

messages = Table(
    "messages",
    metadata,
    Column("id", Text, primary_key=True),
    Column("session_id", Text, ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False),
    Column("position", BigInteger, nullable=False, server_default=text("nextval('message_positions')")),
    Column("role", Text, nullable=False),
    Column("content", Text, nullable=False),
    _json("metadata"),
    _time("created_at"),
    Index("ix_messages_session_id_position", "session_id", "position"),
)

tasks = Table(
    "tasks",
    metadata,
    Column("id", Text, primary_key=True),
    Column("user_id", Text, nullable=False),
    Column("project_id", Text, ForeignKey("projects.id", ondelete="SET NULL")),
    Column("session_id", Text, ForeignKey("sessions.id", ondelete="SET NULL")),
    Column("title", Text, nullable=False),
    Column("prompt", Text, nullable=False),
    Column("repo", Text, nullable=False),
    Column("branch", Text),
    Column("base_branch", Text),
    Column("base_commit", Text),
    Column("workflow", Text, nullable=False),
    _json("request"),
    Column("status", Text, nullable=False),
    Column("stage", Text, nullable=False),
    _json("plan", nullable=True),
    _json("diff_summary", nullable=True),
    _json("test_results", nullable=True),
    Column("pr_url", Text),
    Column("outcome", Text),
    _json("cost"),
    _json("error", nullable=True),
    Column("waiting_for", Text),
    _time("created_at"),
    _time("updated_at"),
    _time("finished_at", nullable=True),
    Column("event_count", BigInteger, nullable=False, server_default=text("0")),
    _time("pruned_at", nullable=True),
    Index("ix_tasks_created_at", "created_at", "id"),
    Index("ix_tasks_user_id_created_at", "user_id", "created_at", "id"),
    Index("ix_tasks_project_id_created_at", "project_id", "created_at", "id"),
    Index("ix_tasks_session_id_created_at", "session_id", "created_at", "id"),
    Index("ix_tasks_user_id_status_created_at", "user_id", "status", "created_at", "id"),
    Index("ix_tasks_project_id_status_created_at", "project_id", "status", "created_at", "id"),
    Index("ix_tasks_id_beginning", "id", postgresql_ops={"id": "text_pattern_ops"}),
    Index(
        "ix_tasks_finished",
        "finished_at",
        postgresql_where=text("finished_at IS NOT NULL AND (pruned_at IS NULL OR pruned_at < finished_at)"),
    ),
)

Index("ix_tasks_id_end", func.reverse(tasks.c.id).label("reversed"), postgresql_ops={"reversed": "text_pattern_ops"})

runs = Table(
    "runs",
    metadata,
    _task(primary_key=True),
    Column("thread_id", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("epoch", BigInteger, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("worker", Text),
    Column("worker_pid", Integer),
    Column("worker_host", Text),
    _time("heartbeat_at", nullable=True),
    Column("checkpoint_id", Text),
    Column("cancel_requested", Boolean, nullable=False, server_default=false()),
    Column("poison_count", Integer, nullable=False, server_default=text("0")),
    Column("priority", Integer, nullable=False, server_default=text("10")),
    CheckConstraint("state IN ('idle', 'queued', 'running', 'ended')", name="state"),
    Index("ix_runs_running_heartbeat_at", "heartbeat_at", postgresql_where=text("state = 'running'")),
    Index("ix_runs_queued", "task_id", postgresql_where=text("state = 'queued'")),
)


def _amount(name: str, kind: Any) -> Column[Any]:
    return Column(name, kind, nullable=False, server_default=text("0"))


spending = Table(
    "spending",
    metadata,
    Column("owner", Text, primary_key=True),
    Column("owner_id", Text, primary_key=True),
    Column("period", Text, primary_key=True),
    _amount("cost_usd", Numeric(20, 8, asdecimal=False)),
    _amount("tokens", BigInteger),
    _amount("steps", BigInteger),
    _amount("time_s", Numeric(20, 3, asdecimal=False)),
    _amount("unpriced_calls", BigInteger),
    _amount("more_cost_usd", Numeric(20, 8, asdecimal=False)),
    _amount("more_tokens", BigInteger),
    _amount("more_steps", BigInteger),
    _amount("more_time_s", Numeric(20, 3, asdecimal=False)),
    CheckConstraint("owner IN ('user', 'project')", name="owner"),
)

model_keys = Table(
    "model_keys",
    metadata,
    Column("user_id", Text, primary_key=True),
    Column("provider", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("last_four", Text, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    _time("created_at"),
    _time("updated_at"),
)

workers = Table(
    "workers",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("name", Text, nullable=False),
    Column("host", Text, nullable=False),
    _time("started_at"),
)

events = Table(
    "events",
    metadata,
    _task(primary_key=True),
    Column("seq", BigInteger, primary_key=True),
    Column("type", Text, nullable=False),
    Column("stage", Text, nullable=False),
    _json("data"),
    _time("created_at"),
)

checkpoint_heads = Table(
    "checkpoint_heads",
    metadata,
    Column("thread_id", Text, primary_key=True),
    Column("checkpoint_ns", Text, primary_key=True),
    Column("checkpoint_id", Text, nullable=False),
    Column("copy", LargeBinary),
)

marks = Table("marks", metadata, _task(primary_key=True), Column("mark", Text, primary_key=True))

steps = Table(
    "steps",
    metadata,
    _task(primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("piece", Text, nullable=False),
    Column("data", LargeBinary, nullable=False),
)
"""Of one piece of work of a task: `data` is what the runtime made of a step."""

approvals = Table(
    "approvals",
    metadata,
    Column("id", Text, primary_key=True),
    _task(),
    Column("gate", Text, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("status", Text, nullable=False),
    Column("title", Text, nullable=False),
    _json("subject"),
    _json("risk"),
    Column("content_sha256", Text, nullable=False),
    _json("approvers"),
    _json("votes"),
    _json("decision", nullable=True),
    _time("created_at"),
    _time("expires_at", nullable=True),
    _time("decided_at", nullable=True),
    Index("ix_approvals_task_id_created_at", "task_id", "created_at"),
    Column("user_id", Text),
    Index("ix_approvals_created_at", "created_at", "id"),
    Index("ix_approvals_waiting_first", text("(status = 'pending')"), "created_at", "id"),
    Index("ix_approvals_user_id_waiting_first", "user_id", text("(status = 'pending')"), "created_at", "id"),
    Index("ix_approvals_user_id_status_created_at", "user_id", "status", "created_at", "id"),
    Index("ix_approvals_pending_expires_at", "expires_at", postgresql_where=text("status = 'pending'")),
    Index("uq_approvals_one_pending", "task_id", "gate", unique=True, postgresql_where=text("status = 'pending'")),
)

pull_requests = Table(
    "pull_requests",
    metadata,
    Column("id", Text, primary_key=True),
    Column("number", Integer, nullable=False),
    Column("repo", Text, nullable=False),
    Column("branch", Text, nullable=False),
    Column("base_branch", Text),
    Column("base_commit", Text, nullable=False),
    Column("head_commit", Text, nullable=False),
    Column("title", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("draft", Boolean, nullable=False),
    Column("state", Text, nullable=False),
    _task(),
    _time("created_at"),
    UniqueConstraint("repo", "number"),
    UniqueConstraint("task_id", "branch"),
    Index("ix_pull_requests_created_at", "created_at", "id"),
    Index("ix_pull_requests_repo_created_at", "repo", "created_at", "id"),
    Column("user_id", Text),
    Index("ix_pull_requests_user_id_created_at", "user_id", "created_at", "id"),
    Index("ix_pull_requests_user_id_repo_created_at", "user_id", "repo", "created_at", "id"),
)

effects = Table(
    "effects",
    metadata,
    Column("key", Text, primary_key=True),
    _task(),
    Column("kind", Text, nullable=False),
    Column("state", Text, nullable=False),
    _json("intent"),
    _json("result", nullable=True),
    _time("created_at"),
    _time("done_at", nullable=True),
    Index("ix_effects_task_id", "task_id", "created_at"),
)

artifacts = Table(
    "artifacts",
    metadata,
    _task(primary_key=True),
    Column("name", Text, primary_key=True),
    Column("media_type", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("sha256", Text, nullable=False),
    _time("created_at"),
    Index("ix_artifacts_sha256", "sha256"),
)

artifact_bytes = Table("artifact_bytes", metadata, Column("sha256", Text, primary_key=True), Column("data", LargeBinary, nullable=False))

audit_log = Table(
    "audit_log",
    metadata,
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    _time("at"),
    Column("actor", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("task_id", Text),
    Column("subject", Text, nullable=False),
    _json("data"),
    Column("previous_hash", Text, nullable=False),
    Column("hash", Text, nullable=False),
    Index("ix_audit_log_task_id", "task_id", "seq"),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("user_id", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("request_hash", Text, nullable=False),
    Column("status", Integer),
    _json("body", nullable=True),
    _time("created_at"),
    Index("ix_idempotency_keys_created_at", "created_at"),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", Text, primary_key=True),
    _task(nullable=True),
    Column("channel", Text, nullable=False),
    Column("event_type", Text, nullable=False),
    _json("payload"),
    Column("state", Text, nullable=False),
    Column("attempts", Integer, nullable=False),
    _time("created_at"),
    _time("sent_at", nullable=True),
    _time("next_attempt_at"),
    Column("last_error", Text),
    Index("ix_outbox_pending", "next_attempt_at", postgresql_where=text("state = 'pending'")),
)
