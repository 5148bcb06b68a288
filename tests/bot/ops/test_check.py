from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest
from aiohttp import web

from bot.ops.check import check
from bot.settings import BotSettings, DatabaseSettings, DiscordSettings
from liqmap.settings import BinanceSettings, BybitSettings, ExchangesSettings, OkxSettings, StorageSettings
from tests.bot.discord_server import TOKEN, DiscordServer
from tests.served import served


class Outside:
    """Discord and the exchanges, on this machine."""

    def __init__(self, server: DiscordServer, url: str) -> None:
        self.server = server
        self.url = url
        self.status = 200
        self.body, self.kind = "", "text/plain"
        self.behind = timedelta()

    async def answer(self, request: web.Request) -> web.Response:
        now = datetime.now(UTC) - self.behind
        milliseconds = int(now.timestamp() * 1000)
        headers = {"Date": format_datetime(now, usegmt=True)}
        if not request.path.endswith("/time"):
            return web.Response(status=self.status, text=self.body, content_type=self.kind, headers=headers)
        reported: dict[str, object] = {"serverTime": milliseconds, "retCode": 0, "time": milliseconds}
        reported |= {"code": "0", "data": [{"ts": str(milliseconds)}]}
        return web.json_response(reported, status=self.status, headers=headers)

    def settings(self, folder: Path) -> BotSettings:
        return BotSettings(
            storage=StorageSettings(path=folder),
            discord=DiscordSettings(api_url=self.server.api_url),
            exchanges=ExchangesSettings(
                binance=BinanceSettings(archive_url=self.url, api_url=self.url),
                bybit=BybitSettings(archive_url=self.url, api_url=self.url),
                okx=OkxSettings(archive_url=self.url, api_url=self.url),
            ),
        )


@pytest.fixture
async def outside():
    async with DiscordServer() as server:
        outside = Outside(server, "")
        app = web.Application()
        app.router.add_get("/{anything:.*}", outside.answer)
        async with served(app) as outside.url:
            yield outside


async def test_check_reports_each_part_that_works(
    outside: Outside, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("DISCORD_TOKEN", TOKEN)
    lines: list[str] = []
    assert await check(outside.settings(tmp_path), say=lines.append)
    assert lines == [
        "ok     store: writable",
        "ok     database: open, 0 subscriptions",
        "ok     discord: the token belongs to liqmap",
        *(
            f"ok     {exchange} {part}: reached"
            for exchange in ("binance", "bybit", "okx")
            for part in ("files", "api")
        ),
        *(f"ok     {exchange} clock: agrees with this machine's" for exchange in ("binance", "bybit", "okx")),
    ]


async def test_damaged_files_are_reported(outside: Outside, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DISCORD_TOKEN", TOKEN)
    aside = tmp_path / "damaged" / "bybit" / "BTCUSDT" / "20230801T000000Z-20230801T000100Z.0a1b2c3d"
    aside.mkdir(parents=True)
    lines: list[str] = []
    assert await check(outside.settings(tmp_path), say=lines.append)
    assert lines[0].startswith("ok     store: writable. 1 damaged file is set aside in the store's folder")
    assert "the oldest of 2023-08-01" in lines[0]


async def test_clock_that_is_off_is_reported(
    outside: Outside, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("DISCORD_TOKEN", TOKEN)
    outside.behind = timedelta(hours=3)
    lines: list[str] = []
    assert not await check(outside.settings(tmp_path), say=lines.append)
    assert [line for line in lines if line.startswith("wrong")] == [
        f"wrong  {name.lower()} clock: This machine's clock is about 3 h ahead of {name}'s;"
        " set it, for example with NTP."
        for name in ("Binance", "Bybit", "OKX")
    ]


async def test_everything_that_is_wrong_is_reported_without_secrets(
    outside: Outside, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("DISCORD_TOKEN", TOKEN[::-1])
    (tmp_path / "file").write_text("")
    outside.status = 451
    url = "postgresql://liqmap:s3cret@127.0.0.1:1/liqmap"
    settings = outside.settings(tmp_path / "file").model_copy(
        update={"database": DatabaseSettings.model_validate({"url": url})}
    )
    lines: list[str] = []
    assert not await check(settings, say=lines.append)
    text = "\n".join(lines)
    for sentence in (
        "wrong  store: Setting storage.path: that folder cannot be written (",
        "wrong  database: The database cannot be opened: check that it runs",
        "wrong  discord: The token is refused; copy it again",
        f"wrong  binance files: {outside.url} answers with HTTP 451; the exchange may refuse this country.",
    ):
        assert sentence in text
    assert TOKEN[::-1] not in text
    assert "s3cret" not in text


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ("<html>", "text/html"),
        ("{", "application/json"),
        ("[]", "application/json"),
        ('{"message": "hello"}', "application/json"),
    ],
)
async def test_something_else_than_discord_is_not_called_unreachable(
    outside: Outside, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: str, kind: str
):
    monkeypatch.setenv("DISCORD_TOKEN", TOKEN)
    outside.body, outside.kind = body, kind
    settings = outside.settings(tmp_path).model_copy(update={"discord": DiscordSettings(api_url=outside.url)})
    lines: list[str] = []
    assert not await check(settings, say=lines.append)
    assert "wrong  discord: What answers is not Discord; check the setting discord.api_url." in lines


async def test_nothing_to_reach_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DISCORD_TOKEN", TOKEN)
    nowhere = "http://127.0.0.1:1"
    settings = BotSettings(
        storage=StorageSettings(path=tmp_path),
        discord=DiscordSettings(api_url=nowhere),
        exchanges=ExchangesSettings(
            binance=BinanceSettings(archive_url=nowhere, api_url=nowhere),
            bybit=BybitSettings(archive_url=nowhere, api_url=nowhere),
        ),
    )
    lines: list[str] = []
    assert not await check(settings, say=lines.append)
    assert "wrong  discord: Discord cannot be reached; check the network, and discord.api_url." in lines
    assert (
        f"wrong  bybit files: {nowhere} cannot be reached; check the network, and its address in the"
        " settings." in lines
    )
