"""Write log lines for people, or one JSON object a line for machines, without secrets."""

from __future__ import annotations

import json
import logging
from copy import copy
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import aiohttp
import discord
from sqlalchemy.exc import SQLAlchemyError

from bot.interaction.patience import failure_text
from bot.ops.secrecy import HIDDEN, pattern_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bot.settings import LoggingSettings

# At INFO they write hundreds of lines a day about shards, sessions and jobs.
_LOUD = ("discord", "apscheduler", "alembic")
# Without a traceback: discord.py reconnects by itself, and nobody misses a suggestion that came too late.
_EXPECTED = (
    *(discord.HTTPException, discord.GatewayNotFound, discord.ConnectionClosed, aiohttp.ClientError),
    *(ConnectionError, TimeoutError, SQLAlchemyError),
)


def set_up_logging(settings: LoggingSettings, *, secrets: Iterable[str] = ()) -> None:
    """Send log lines to stderr in the form of the settings, with `secrets` replaced wherever they occur."""
    handler = logging.StreamHandler()
    form = JsonFormatter if settings.format == "json" else TextFormatter
    handler.setFormatter(form(secrets))
    handler.setLevel(settings.level.upper())
    logging.basicConfig(handlers=[handler], level=settings.level.upper(), force=True)
    for library in _LOUD:
        logging.getLogger(library).setLevel(logging.WARNING)
    # discord.py warns at the start that voice is not supported; this bot does not use voice.
    logging.getLogger("discord.client").addFilter(lambda record: "voice" not in record.getMessage())


class TextFormatter(logging.Formatter):
    """One line for people: time, level, logger, message."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        self._secrets = pattern_of(secrets)

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, with its traceback if it has one."""
        return self._secrets.sub(HIDDEN, super().format(_short(record)))


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, and the error if there is one."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        super().__init__()
        self._secrets = pattern_of(secrets)

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        record = _short(record)
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        # Before the line is built: a secret may look like the JSON punctuation between the fields.
        safe = {key: self._secrets.sub(HIDDEN, value) for key, value in line.items()}
        return json.dumps(safe, ensure_ascii=False)


def _short(record: logging.LogRecord) -> logging.LogRecord:
    """Return the record, with a reason instead of the traceback if a library reports expected trouble."""
    error = record.exc_info[1] if record.exc_info else None
    if record.name.partition(".")[0] not in _LOUD or not isinstance(error, _EXPECTED):
        return record
    short = copy(record)
    short.msg, short.args = f"{record.getMessage()} ({failure_text(error)})", ()
    # Also the text that another formatter may have cached in the record.
    short.exc_info = short.exc_text = None
    return short
