"""Limit what a bot sees to its own rows: several bots, such as a test bot, may share one database."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from sqlalchemy import true

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Table

UNCLAIMED: Final = 0
"""The application of rows that no bot has claimed: imported ones, and those of earlier versions."""


@dataclass(frozen=True, slots=True)
class Owner:
    """An application, which sees and changes only its own rows, or with None the operator.

    The operator sees all rows. Rows that the operator adds belong to no bot until one claims them.
    """

    application_id: int | None

    @property
    def of_new_rows(self) -> int:
        """The application that new rows belong to."""
        return UNCLAIMED if self.application_id is None else self.application_id

    def owns(self, table: Table) -> ColumnElement[bool]:
        """Return the condition that a row of `table` belongs to this owner."""
        return true() if self.application_id is None else table.c.application_id == self.application_id


EVERYBODY: Final = Owner(None)
