"""Take the steps that a database lacks, by Alembic."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from alembic import command
from alembic.config import Config
from alembic.util import CommandError

from bot.store.troubles import UnknownTables

if TYPE_CHECKING:
    from sqlalchemy import Connection


def take_steps(connection: Connection) -> None:
    """Take all steps of `migrations` that are lacking. Raises UnknownTables if the database is ahead."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise UnknownTables from error
