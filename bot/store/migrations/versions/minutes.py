"""Maps stay counted for a minute, so that a person's limit a minute holds over several processes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "minutes"
down_revision = "under_way"


def upgrade() -> None:
    """Add the column."""
    op.add_column(
        "maps_under_way", sa.Column("ended", sa.Boolean, nullable=False, server_default=sa.text("false"))
    )


def downgrade() -> None:
    """Forget ended maps, which the earlier code would take for maps under way."""
    op.execute("DELETE FROM maps_under_way WHERE ended")
