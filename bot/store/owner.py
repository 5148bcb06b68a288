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
class Shards:
    """The shards that one process of a bot serves, out of `count`."""

    ids: tuple[int, ...]
    count: int

    def serve(self, table: Table) -> ColumnElement[bool]:
        """Return the condition that a row's server is on these shards.

        Source: Discord's documentation of gateways, "Sharding": (guild_id >> 22) % num_shards.
        """
        return (table.c.guild_id // (1 << 22) % self.count).in_(self.ids)


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose rows a table shows: those of an application, or with None all rows, for the operator.

    Rows that the operator adds belong to no bot until one claims them. `shards` are those of one process, if
    the application runs in several.
    """

    application_id: int | None
    shards: Shards | None = None

    @property
    def of_new_rows(self) -> int:
        """The application that new rows belong to."""
        return UNCLAIMED if self.application_id is None else self.application_id

    def owns(self, table: Table) -> ColumnElement[bool]:
        """Return the condition that a row of `table` belongs to this owner."""
        return true() if self.application_id is None else table.c.application_id == self.application_id

    def serves(self, table: Table) -> ColumnElement[bool]:
        """Return the condition that this process posts for a row of `table`.

        Other processes of the application may still change the row, at a press in its server for instance.
        """
        return self.owns(table) if self.shards is None else self.owns(table) & self.shards.serve(table)


EVERYBODY: Final = Owner(None)
