"""Who the workers are, the bytes of artifacts, and in which order runs wait."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "workers",
        sa.Column("id", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("host", sa.Text, nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_workers"),
    )
    op.create_table(
        "artifact_bytes",
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("sha256", name="pk_artifact_bytes"),
    )
    op.add_column("runs", sa.Column("priority", sa.Integer, server_default=sa.text("10"), nullable=False))
    op.create_index("ix_runs_queued", "runs", ["task_id"], postgresql_where=sa.text("state = 'queued'"))
