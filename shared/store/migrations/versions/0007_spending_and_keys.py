"""What users and projects have spent, their budgets, and keys of models that belong to a user."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    zero = sa.text("0")
    amounts: dict[str, Any] = {
        "cost_usd": sa.Numeric(20, 8),
        "tokens": sa.BigInteger(),
        "steps": sa.BigInteger(),
        "time_s": sa.Numeric(20, 3),
    }
    more: dict[str, Any] = {f"more_{name}": kind for name, kind in amounts.items()}
    op.create_table(
        "spending",
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("owner_id", sa.Text, nullable=False),
        sa.Column("period", sa.Text, nullable=False),
        *(
            sa.Column(name, kind, server_default=zero, nullable=False)
            for name, kind in (amounts | {"unpriced_calls": sa.BigInteger()} | more).items()
        ),
        sa.PrimaryKeyConstraint("owner", "owner_id", "period", name="pk_spending"),
        sa.CheckConstraint("owner IN ('user', 'project')", name="ck_spending_owner"),
    )
    op.create_table(
        "model_keys",
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("provider", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("last_four", sa.Text, nullable=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.Column("updated_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
        sa.PrimaryKeyConstraint("user_id", "provider", name="pk_model_keys"),
    )
    op.add_column("projects", sa.Column("budget", sa.JSON))
