from __future__ import annotations

import json
import logging
import sys

import aiohttp
import pytest
from sqlalchemy.exc import OperationalError

from bot.ops.logs import JsonFormatter, TextFormatter, set_up_logging
from bot.settings import LoggingSettings

SECRET = "hunter2-hunter2"  # noqa: S105 - nobody's


def record(message: str, *, failing: bool = False) -> logging.LogRecord:
    info = None
    if failing:
        try:
            int(f"login {SECRET}")
        except ValueError:
            info = sys.exc_info()
    return logging.LogRecord("bot.x", logging.ERROR, __file__, 1, message, None, info)


def test_json_is_one_object_a_line():
    line = JsonFormatter().format(record("two\nlines", failing=True))
    assert "\n" not in line
    found = json.loads(line)
    assert (found["level"], found["logger"], found["message"]) == ("ERROR", "bot.x", "two\nlines")
    assert found["time"].endswith("+00:00")
    assert "ValueError" in found["error"]


def test_text_is_a_line_for_people():
    assert TextFormatter().format(record("hello")).endswith("ERROR bot.x: hello")


@pytest.mark.parametrize("formatter", [TextFormatter((SECRET,)), JsonFormatter((SECRET,))])
def test_secret_is_blacked_out_in_messages_and_tracebacks(formatter: logging.Formatter):
    line = formatter.format(record(f"url=https://x:{SECRET}@h", failing=True))
    assert SECRET not in line
    assert line.count("[hidden]") >= 2


def test_json_stays_json_where_a_secret_looks_like_it():
    line = JsonFormatter(['", "', "message"]).format(record('the message is a", "b'))
    assert json.loads(line)["message"] == "the [hidden] is a[hidden]b"


def test_logging_is_set_up_as_the_settings_say(capsys: pytest.CaptureFixture[str]):
    set_up_logging(LoggingSettings(level="warning", format="json"), secrets=[SECRET, ""])
    logging.getLogger("bot.x").info("not this")
    logging.getLogger("bot.x").warning("but this, %s", SECRET)
    logging.getLogger("discord.gateway").info("nor this")
    logging.getLogger("discord.client").warning("no voice here")
    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line)["message"] == "but this, [hidden]"


def of_library(error: Exception, *, logger: str = "discord.shard") -> logging.LogRecord:
    info = (type(error), error, None)
    return logging.LogRecord(logger, logging.ERROR, __file__, 1, "100 %% of %s", ("shards",), info)


@pytest.mark.parametrize(
    "error",
    [
        ConnectionResetError(104, "reset"),
        aiohttp.ServerDisconnectedError(),
        OperationalError("", {}, OSError()),
    ],
)
def test_trouble_of_a_library_that_is_expected_is_a_line_without_its_traceback(error: Exception):
    line = TextFormatter().format(of_library(error))
    assert line.endswith(f"discord.shard: 100 % of shards ({type(error).__name__})")
    found = json.loads(JsonFormatter().format(of_library(error)))
    assert found["message"] == f"100 % of shards ({type(error).__name__})"
    assert "error" not in found


@pytest.mark.parametrize(
    "failed",
    [of_library(ValueError("odd")), of_library(ConnectionResetError(104, "reset"), logger="bot.client")],
)
def test_fault_keeps_its_traceback(failed: logging.LogRecord):
    assert type(failed.exc_info[1] if failed.exc_info else None).__name__ in TextFormatter().format(failed)
    assert json.loads(JsonFormatter().format(failed))["error"]
    assert failed.exc_info is not None
