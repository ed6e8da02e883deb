"""An index for every list, and which finished tasks have been pruned."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("approvals", sa.Column("user_id", sa.Text))
    op.execute("UPDATE approvals SET user_id = tasks.user_id FROM tasks WHERE tasks.id = approvals.task_id")
    op.add_column("tasks", sa.Column("pruned_at", sa.DateTime(timezone=True)))
    op.drop_index("ix_sessions_project_id", "sessions")
    for name, on in _INDEXES.items():
        op.execute(f"CREATE INDEX {name} ON {on}")


_INDEXES = {
    "ix_tasks_user_id_status_created_at": "tasks (user_id, status, created_at, id)",
    "ix_tasks_project_id_status_created_at": "tasks (project_id, status, created_at, id)",
    "ix_tasks_id_beginning": "tasks (id text_pattern_ops)",
    "ix_tasks_id_end": "tasks (reverse(id) text_pattern_ops)",
    "ix_tasks_finished": "tasks (finished_at) WHERE finished_at IS NOT NULL AND (pruned_at IS NULL OR pruned_at < finished_at)",
    "ix_sessions_project_id_updated_at": "sessions (project_id, updated_at, id)",
    "ix_approvals_waiting_first": "approvals ((status = 'pending'), created_at, id)",
    "ix_approvals_user_id_waiting_first": "approvals (user_id, (status = 'pending'), created_at, id)",
    "ix_approvals_user_id_status_created_at": "approvals (user_id, status, created_at, id)",
    "ix_approvals_pending_expires_at": "approvals (expires_at) WHERE status = 'pending'",
    "ix_pull_requests_repo_created_at": "pull_requests (repo, created_at, id)",
}
