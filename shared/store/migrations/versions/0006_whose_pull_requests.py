"""Whose task a pull request is from, so that a person's are listed from an index."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("pull_requests", sa.Column("user_id", sa.Text))
    op.execute("UPDATE pull_requests SET user_id = tasks.user_id FROM tasks WHERE tasks.id = pull_requests.task_id")
    op.create_index("ix_pull_requests_user_id_created_at", "pull_requests", ["user_id", "created_at", "id"])
    op.create_index("ix_pull_requests_user_id_repo_created_at", "pull_requests", ["user_id", "repo", "created_at", "id"])
