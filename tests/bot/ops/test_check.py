from __future__ import annotations

from pathlib import Path

import pytest
from aiohttp import web

from bot.ops.check import check
from bot.settings import BotSettings, DatabaseSettings, DiscordSettings
from liqmap.settings import BinanceSettings, BybitSettings, ExchangesSettings, StorageSettings
from tests.bot.discord_server import TOKEN, DiscordServer
from tests.served import served


class Outside:
    """Discord and the exchanges, on this machine."""

    def __init__(self, server: DiscordServer, url: str) -> None:
        self.server = server
        self.url = url
        self.status = 200
        self.body, self.kind = "", "text/plain"

    async def answer(self, _: web.Request) -> web.Response:
        return web.Response(status=self.status, text=self.body, content_type=self.kind)

    def settings(self, folder: Path) -> BotSettings:
        return BotSettings(
            storage=StorageSettings(path=folder),
            discord=DiscordSettings(api_url=self.server.api_url),
            exchanges=ExchangesSettings(
                binance=BinanceSettings(archive_url=self.url, api_url=self.url),
                bybit=BybitSettings(archive_url=self.url, api_url=self.url),
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


async def test_all_is_well(outside: Outside, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DISCORD_TOKEN", TOKEN)
    lines: list[str] = []
    assert await check(outside.settings(tmp_path), say=lines.append)
    assert lines == [
        "ok     store: can be written",
        "ok     database: open, 0 subscriptions",
        "ok     discord: the token is liqmap's",
        *(
            f"ok     {exchange} {part}: reached"
            for exchange in ("binance", "bybit")
            for part in ("files", "api")
        ),
    ]


async def test_everything_that_is_wrong_is_said_without_secrets(
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


async def test_nothing_to_reach_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
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
        f"wrong  bybit files: {nowhere} cannot be reached; check the network, and the settings' address."
        in lines
    )
