"""The steps of the work that goes on in a task, so that it can go on after the last one."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.create_table(
        "steps",
        sa.Column("task_id", sa.Text, sa.ForeignKey("tasks.id", ondelete="CASCADE", name="fk_steps_task_id"), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("piece", sa.Text, nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("task_id", "number", name="pk_steps"),
    )
