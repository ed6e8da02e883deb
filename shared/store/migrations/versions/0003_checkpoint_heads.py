"""Which checkpoint of a thread is the current one, for checkpoints that are kept elsewhere."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "checkpoint_heads",
        sa.Column("thread_id", sa.Text, nullable=False),
        sa.Column("checkpoint_ns", sa.Text, nullable=False),
        sa.Column("checkpoint_id", sa.Text, nullable=False),
        sa.Column("copy", sa.LargeBinary),
        sa.PrimaryKeyConstraint("thread_id", "checkpoint_ns", name="pk_checkpoint_heads"),
    )
