"""The tables of the bot's database."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
    text,
)

if TYPE_CHECKING:
    from sqlalchemy import Dialect


class UtcSeconds(TypeDecorator[datetime]):
    """A time in whole seconds since 1970, the only form that all databases store alike."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        """Return what is stored for a time."""
        del dialect
        return None if value is None else int(value.timestamp())

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        """Return the time that is stored."""
        del dialect
        return None if value is None else datetime.fromtimestamp(value, UTC)


# The migrations make all tables. So an index's condition stands here for SQLite alone: with PostgreSQL's
# beside it, every bot would import what only those with that database need.
metadata = MetaData(
    # Named, because a migration can only drop what has a name.
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "pk": "pk_%(table_name)s",
    }
)

subscriptions = Table(
    "subscriptions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("guild_id", BigInteger, nullable=False, index=True),
    Column("application_id", BigInteger, nullable=False, server_default=text("0")),
    Column("channel_id", BigInteger, nullable=False, index=True),
    Column("creator_id", BigInteger, nullable=False),
    # The code of `bot.request.posted`: old rows are read by the same rules as the buttons of old messages.
    Column("spec", String(300), nullable=False),
    Column("every", Integer, nullable=False),
    Column("at_minute", Integer, nullable=False, server_default=text("0")),
    Column("weekdays", Integer, nullable=False, server_default=text("127")),
    Column("timezone", String(40), nullable=False, server_default=text("'UTC'")),
    Column("style", String(10), nullable=False),
    Column("role_id", BigInteger),
    Column("publish", Boolean, nullable=False, server_default=text("false")),
    Column("state", String(10), nullable=False),
    Column("reason", String(300), nullable=False),
    Column("failures", Integer, nullable=False),
    Column("message_id", BigInteger),
    Column("active_since", UtcSeconds, nullable=False),
    # None for drafts, which take no place: a unique key allows any number of rows with NULL.
    Column("place", Integer),
    # A row of no server could never be listed, removed or erased.
    CheckConstraint("guild_id > 0", name="ck_subscriptions_guild_id"),
    CheckConstraint("at_minute BETWEEN 0 AND 1439", name="ck_subscriptions_at_minute"),
    CheckConstraint("weekdays BETWEEN 1 AND 127", name="ck_subscriptions_weekdays"),
    Index("uq_subscriptions_place", "application_id", "guild_id", "place", unique=True),
    Index(
        "uq_subscriptions_active",
        *("application_id", "channel_id", "spec", "every", "at_minute", "weekdays", "timezone"),
        unique=True,
        sqlite_where=text("state = 'active'"),
    ),
    # Ids are never given out again: an old button must not act on a row that was added later.
    sqlite_autoincrement=True,
)

snapshots = Table(
    "snapshots",
    metadata,
    Column("id", Integer, primary_key=True),
    # Gone with its subscription, so that nothing of a server is left when it is erased.
    Column("subscription_id", Integer, ForeignKey("subscriptions.id", ondelete="CASCADE"), nullable=False),
    Column("due", UtcSeconds, nullable=False),
    Column("state", String(10), nullable=False),
    Column("message_id", BigInteger),
    Column("reason", String(300), nullable=False),
    Column("changed_at", UtcSeconds, nullable=False, index=True),
    # What makes a post unique, also among processes: whoever adds the row sends it.
    UniqueConstraint("subscription_id", "due"),
)

guilds = Table(
    "guilds",
    metadata,
    Column("application_id", BigInteger, primary_key=True, autoincrement=False, server_default=text("0")),
    Column("guild_id", BigInteger, primary_key=True, autoincrement=False),
    Column("exchange", String(20)),
    Column("mode", String(20)),
    Column("value", String(40)),
    Column("theme", String(10)),
    Column("leverages", String(200)),
    Column("timezone", String(40)),
    Column("channels", String(2000), nullable=False),
    CheckConstraint("guild_id > 0", name="ck_guilds_guild_id"),
)

_WATCHED = ("exchange", "symbol", "distance", "notional", "positions")

# An alert with the channel 0 goes to its creator, so its keys are by person and not by channel or server.
alerts = Table(
    "alerts",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("guild_id", BigInteger, nullable=False, index=True),
    Column("application_id", BigInteger, nullable=False, server_default=text("0")),
    Column("channel_id", BigInteger, nullable=False, index=True),
    Column("creator_id", BigInteger, nullable=False),
    Column("exchange", String(20), nullable=False),
    Column("symbol", String(40), nullable=False),
    Column("distance", Float, nullable=False),
    Column("notional", Float, nullable=False),
    Column("cooldown", Integer, nullable=False),
    Column("fired_at", UtcSeconds),
    Column("place", Integer),
    Column("reason", String(300), nullable=False, server_default=text("''")),
    Column("positions", String(20), nullable=False, server_default=text("''")),
    CheckConstraint("guild_id > 0", name="ck_alerts_guild_id"),
    *(
        Index(name, *("application_id", *columns), unique=True, sqlite_where=text(condition))
        for name, columns, condition in (
            ("uq_alerts_place", ("guild_id", "place"), "channel_id <> 0"),
            ("uq_alerts_own_place", ("creator_id", "place"), "channel_id = 0"),
            ("uq_alerts_watched", ("channel_id", *_WATCHED), "channel_id <> 0"),
            ("uq_alerts_own_watched", ("creator_id", *_WATCHED), "channel_id = 0"),
        )
    ),
    sqlite_autoincrement=True,
)

pending_answers = Table(
    "pending_answers",
    metadata,
    Column("interaction_id", BigInteger, primary_key=True, autoincrement=False),
    Column("application_id", BigInteger, nullable=False),
    # Discord names no longest length.
    Column("token", Text, nullable=False),
    Column("reply", String(10), nullable=False),
    Column("edits", Boolean, nullable=False),
    Column("content", String(2000)),  # the longest message that Discord takes
    Column("asked_at", UtcSeconds, nullable=False, index=True),
    Column("process", Integer, nullable=False, server_default=text("0")),
)

# Whichever process adds the row of a command or press first is the one to answer it.
interactions = Table(
    "interactions",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=False),
    Column("application_id", BigInteger, nullable=False),
    Column("taken_at", UtcSeconds, nullable=False, index=True),
)

# Maps that have ended stay for a minute, for the limit of maps a minute.
maps_under_way = Table(
    "maps_under_way",
    metadata,
    Column("application_id", BigInteger, primary_key=True, autoincrement=False),
    Column("user_id", BigInteger, primary_key=True, autoincrement=False),
    Column("place", Integer, primary_key=True, autoincrement=False),
    Column("process", Integer, nullable=False),
    Column("begun_at", UtcSeconds, nullable=False),
    Column("ended", Boolean, nullable=False, server_default=text("false")),
)
