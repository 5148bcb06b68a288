from __future__ import annotations

import asyncio
import errno
import logging
import os
import signal
import sys
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import discord
import psutil
import pytest
from sqlalchemy.exc import OperationalError

from bot import app
from bot.app import main, point_at
from bot.settings import DiscordSettings
from liqmap.simulator import Fault, MarketServer, SimulatedMarket
from tests.bot.discord_server import TOKEN, DiscordServer


@asynccontextmanager
async def running_bot(folder: Path, *, token: str = TOKEN, refusals: int = 0, heartbeat: float = 0):
    """Run `python -m bot` as a process, between a Discord and an exchange on this machine.

    `refusals` are gateway connections that fail at first; `heartbeat` makes the gateway's pulse quick [s].
    """
    async with surroundings(folder, heartbeat=heartbeat) as (server, market, config):
        server.gateway.refusals = refusals
        async with bot_process(config, token=token) as process:
            yield server, market, process


@asynccontextmanager
async def surroundings(folder: Path, *, heartbeat: float = 0):
    """Play a Discord and an exchange; yield both, and the settings of a bot between them."""
    async with (
        asyncio.timeout(110),
        MarketServer(SimulatedMarket(scale=0.005)) as market,
        DiscordServer() as server,
    ):
        pulse = ""
        if heartbeat:
            server.gateway.heartbeat_ms = int(heartbeat * 1000)
            pulse = f"discord.heartbeat_timeout = {5 * heartbeat}\n"
        config = folder / "liqmap.toml"
        config.write_text(
            f'storage.path = "{folder / "store"}"\nengine.workers = 1\nrecorder.most_traded = 0\n'
            f"{server.settings}{pulse}"
            + "".join(f'{key} = "{url}"\n' for key, url in market.host.settings.items())
        )
        yield server, market, config


@asynccontextmanager
async def bot_process(config: Path, *, token: str = TOKEN):
    """Run `python -m bot` with these settings."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bot", "--config", str(config)),
        env={**os.environ, "DISCORD_TOKEN": token},
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def ended(process: asyncio.subprocess.Process) -> tuple[int | None, str]:
    _, log = await process.communicate()
    return process.returncode, log.decode()


async def test_command_on_the_wire_is_answered_and_sigterm_ends_cleanly(tmp_path: Path):
    options = {"symbol": "btc", "window": "6h", "mode": "top_n", "value": "100", "end": "2023-08-01 06:00"}
    async with running_bot(tmp_path) as (server, _, process):
        answered = await server.command("liqmap", **options)
        await answered.done
        refused = await server.command("liqmap", **(options | {"window": "six"}))
        await refused.done
        inherited = [each.environ() for each in psutil.Process(process.pid).children(recursive=True)]
        process.send_signal(signal.SIGTERM)
        code, log = await ended(process)
        assert server.syncs == 1
        assert {command["name"] for command in server.commands} >= {"liqmap", "subscribe"}
    assert answered.callback["type"] == 5
    assert list(answered.files) == ["liquidation_map.png", "liquidation_depth.png"]
    assert answered.message["embeds"][0]["title"].startswith("BTCUSDT liquidation map · ")
    assert answered.message["allowed_mentions"]["parse"] == []
    assert "not a length of time" in refused.message["content"]
    assert refused.message["flags"] == 64
    assert code == 0
    assert "Traceback" not in log
    assert "WARNING" not in log
    assert TOKEN not in log
    assert inherited
    assert all("DISCORD_TOKEN" not in each for each in inherited)
    assert "drew binance BTCUSDT" in log
    files = [path for path in (tmp_path / "store").rglob("*") if path.is_file()]
    assert len(files) > 3
    assert {path.stat().st_mode & 0o077 for path in files} == {0}


async def test_person_cannot_exceed_the_maps_under_way(tmp_path: Path):
    options = {"symbol": "BTCUSDT", "window": "6h", "end": "2023-08-01 06:00"}
    async with running_bot(tmp_path) as (server, market, process):
        market.plan(r"aggTrades/BTCUSDT/.*\.zip$", Fault.STALL, times=10)
        for mode in ("top_n", "portion"):
            await (await server.command("liqmap", **options, mode=mode)).acknowledged
        refused = await server.command("liqmap", **options, mode="gross_value")
        await refused.done
        stranger = await server.command("liqmap", user=2, **options, mode="gross_value")
        await stranger.acknowledged
        process.send_signal(signal.SIGTERM)
        assert (await ended(process))[0] == 0
    assert refused.message["content"] == "You already have 2 maps under way; wait until one is done, please."
    assert stranger.callback["type"] == 5


async def test_error_after_a_deferred_reply_is_private(tmp_path: Path):
    options = {"symbol": "nope", "window": "6h", "mode": "top_n", "end": "2023-08-01 06:00"}
    async with running_bot(tmp_path) as (server, _, process):
        answered = await server.command("liqmap", **options)
        await answered.done
        await answered.deleted
        process.send_signal(signal.SIGTERM)
        assert (await ended(process))[0] == 0
    assert "NOPE" in answered.message["content"]
    assert answered.message["flags"] == 64


async def test_refused_token_is_one_sentence_without_the_token(tmp_path: Path):
    async with running_bot(tmp_path, token=TOKEN[::-1]) as (_, _, process):
        code, log = await ended(process)
    assert code == 2
    assert log.splitlines()[-1].startswith("Discord refuses the bot's token; copy it again")
    assert TOKEN[::-1] not in log
    assert "Traceback" not in log


@pytest.fixture
def no_discord(tmp_path: Path) -> Path:
    config = tmp_path / "liqmap.toml"
    config.write_text(
        f'storage.path = "{tmp_path / "store"}"\nengine.workers = 1\nrecorder.enabled = false\n'
        'discord.api_url = "http://127.0.0.1:1"\n'
    )
    return config


@pytest.fixture(autouse=True)
def same_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put Discord's addresses back after the test."""
    monkeypatch.setattr(discord.http.Route, "BASE", discord.http.Route.BASE)
    gateway = discord.gateway.DiscordWebSocket
    monkeypatch.setattr(gateway, "DEFAULT_GATEWAY", gateway.DEFAULT_GATEWAY)


def test_unreachable_discord_is_one_sentence(
    no_discord: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    sleep = asyncio.sleep

    async def instantly(*_: object) -> None:
        await sleep(0)  # or what waits in a loop, as the bot's daily tasks do, would never let go

    monkeypatch.setenv("DISCORD_TOKEN", TOKEN)
    monkeypatch.setattr("discord.http.asyncio.sleep", instantly)
    assert main(["--config", str(no_discord)]) == 1
    assert "Discord cannot be reached; check the network" in capsys.readouterr().err


def test_neither_token_nor_password_shows_in_the_log_even_at_debug(
    no_discord: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("LIQMAP__LOGGING__LEVEL", "debug")
    for command in ([], ["check"], ["export", str(no_discord.parent / "never")]):
        # The bot itself takes both out of the environment that its workers inherit.
        monkeypatch.setenv("DISCORD_TOKEN", TOKEN)
        monkeypatch.setenv("LIQMAP__DATABASE__URL", "postgresql://liqmap:s3cret%21@127.0.0.1:1/liqmap")
        assert main(["--config", str(no_discord), *command]) != 0
    logging.getLogger("bot.x").error("as it would be in a traceback: %s s3cret!", TOKEN)
    reported = "".join(capsys.readouterr())
    assert "The database cannot be opened" in reported
    assert "[hidden]" in reported
    for secret in (TOKEN, "s3cret%21", "s3cret!"):
        assert secret not in reported


@pytest.mark.parametrize("password", ["pa[ss", "pa#ss", "pa℀ss"])
def test_password_of_any_characters_stays_hidden(
    no_discord: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], password: str
):
    monkeypatch.setenv(
        "LIQMAP__DATABASE__URL", f"postgresql://liqmap:{password}@127.0.0.1:1/d?sslmode=require"
    )
    assert main(["--config", str(no_discord), "export", str(no_discord.parent / "never")]) == 2
    logging.getLogger("bot.x").error("as it would be in a traceback: %s", password)
    reported = capsys.readouterr().err
    assert reported.startswith("The database cannot be opened: check that it runs")
    assert "[hidden]" in reported
    assert password not in reported
    assert "Traceback" not in reported


def test_export_and_import_are_commands(tmp_path: Path, no_discord: Path, capsys: pytest.CaptureFixture[str]):
    file = str(tmp_path / "backup.json")
    assert main(["--config", str(no_discord), "export", file]) == 0
    assert main(["--config", str(no_discord), "import", file]) == 0
    assert capsys.readouterr().out == (
        "exported 0 subscriptions\n"
        "added 0 subscriptions; a bot takes over those of its servers within an hour\n"
    )


def test_missing_token_exits_with_2(capsys: pytest.CaptureFixture[str]):
    assert main([]) == 2
    assert "The bot has no token: set DISCORD_TOKEN" in capsys.readouterr().err


def test_wrong_settings_exit_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    config = tmp_path / "liqmap.toml"
    config.write_text("[discord]\napi_ulr = 1\n")
    assert main(["--config", str(config)]) == 2
    assert capsys.readouterr().err == "Setting discord.api_ulr: unknown key.\n"


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device"),
            "The operating system refused something that the bot needs: No space",
        ),
        (
            OperationalError("SELECT", {}, OSError()),
            "The database no longer answers; check that it runs",
        ),
    ],
)
def test_trouble_of_another_kind_is_not_called_an_unreachable_discord(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
    sentence: str,
):
    async def fails(*_: Any) -> None:
        raise error

    monkeypatch.setenv("DISCORD_TOKEN", TOKEN)
    monkeypatch.setattr(app, "run", fails)
    assert main([]) == 1
    assert capsys.readouterr().err.startswith(sentence)


def test_interrupt_exits_with_0(monkeypatch: pytest.MonkeyPatch):
    async def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setenv("DISCORD_TOKEN", TOKEN)
    monkeypatch.setattr(app, "run", interrupted)
    assert main([]) == 0


def test_library_is_pointed_at_the_settings_addresses():
    point_at(DiscordSettings(api_url="http://127.0.0.1:1/api", gateway_url="ws://127.0.0.1:1/gateway/"))
    assert discord.http.Route("GET", "/gateway").url == "http://127.0.0.1:1/api/gateway"
    assert str(discord.gateway.DiscordWebSocket.DEFAULT_GATEWAY) == "ws://127.0.0.1:1/gateway/"
