from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import simcord

from bot import playground
from bot.app import main
from bot.playground import play
from bot.playground.page import LivePage
from bot.settings import BotSettings
from liqmap import utc_now
from liqmap.errors import DataError
from liqmap.settings import EngineSettings
from liqmap.simulator import LISTINGS, SimulatedMarket


@pytest.fixture(autouse=True)
def small_market(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(playground, "SimulatedMarket", lambda: SimulatedMarket(scale=0.005))


@pytest.fixture
def one_worker(settings: BotSettings) -> BotSettings:
    return settings.model_copy(update={"engine": EngineSettings(workers=1)})


async def test_playground_posts_a_map_saves_it_and_ends_without_a_terminal(
    one_worker: BotSettings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "out"
    await play(one_worker, port=None, out=out)
    paths = [out / "liquidation_map.png", out / "liquidation_depth.png"]
    assert capsys.readouterr().out == "".join(f"saved {path}\n" for path in paths)
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)


async def test_playground_without_a_map_says_so(
    one_worker: BotSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delitem(LISTINGS, "BTCUSDT")
    with pytest.raises(DataError, match="did not answer with a map"):
        await play(one_worker, port=None, out=tmp_path)


async def test_playground_names_near_symbols_and_offers_what_the_market_lists(
    one_worker: BotSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    reported: list[object] = []

    async def mistype(env: simcord.Env, *_: object, **__: object) -> None:
        guild = env.create_guild("Trading floor")
        channel, member = guild.create_text_channel("maps"), guild.add_member(env.create_user("you"))
        result = await member.slash(channel, "liqmap", symbol="BTCUSTDT", window="6h", mode="top_n")
        reported.append(result.followups[0].content)
        assert env.errors == []  # an answered error is no failure
        choices = await member.autocomplete(channel, "liqmap", "symbol", "NEWLY")
        reported.extend(choice["value"] for choice in choices)

    monkeypatch.setitem(LISTINGS, "NEWLYUSDT", LISTINGS["ETHUSDT"])
    monkeypatch.setattr(playground, "_play_in", mistype)
    await play(one_worker, port=None, out=tmp_path)
    sentence, *choices = reported
    assert str(sentence).startswith("Binance lists no “BTCUSTDT”; did you mean BTCUSDT")
    assert choices == ["NEWLYUSDT"]


async def test_page_shows_once_whatever_the_bot_has_sent():
    requests: list[str] = []
    drawn: list[str] = []

    def draw(page: SimpleNamespace, *, reason: str) -> None:
        page.revision += 1
        drawn.append(f"{page.id}: {reason}")

    async def act(context_id: str | None, body: Mapping[str, Any]) -> dict[str, Any]:
        assert body["published_revision"] == pages[str(context_id)].revision  # whatever the browser shows
        requests.append("an answer")
        if body["draws"]:
            draw(pages[str(context_id)], reason="action")
        return {}

    pages = {name: SimpleNamespace(id=name, revision=1) for name in ("mine", "other")}
    preview = SimpleNamespace(
        _action=act,
        _server=SimpleNamespace(_static=None),
        _pages=pages,
        _active_action=None,
        _publish=draw,
        _advance_presentation_time=lambda: None,
    )
    backend = SimpleNamespace(http_requests=requests, advance_clock=lambda _: None)
    env = SimpleNamespace(backend=backend, now=utc_now)
    live = LivePage(cast("simcord.Env", env), cast("simcord.Preview", preview))
    async with live.kept_live():
        live.show_changes()
        drawn.clear()

        # SimCord announces no change of an answer that one person alone sees; the bot's request shows it.
        requests.append("an edit of an ephemeral answer")
        live.show_changes()
        live.show_changes()
        assert drawn == ["mine: refresh", "other: refresh"]

        # An action that draws its page is not followed by another drawing, which would take a press with it.
        drawn.clear()
        await preview._action("mine", {"published_revision": 0, "draws": True})
        live.show_changes()
        live.show_changes()
        assert drawn == ["mine: action", "other: refresh"]

        drawn.clear()
        await preview._action("mine", {"published_revision": 0, "draws": False})
        live.show_changes()
        assert drawn == ["mine: refresh", "other: refresh"]

        # While an action runs, nothing moves under it; what came meanwhile is shown when it is over.
        drawn.clear()
        requests.append("progress")
        preview._active_action = object()
        live.show_changes()
        assert drawn == []
        preview._active_action = None
        live.show_changes()
        assert drawn == ["mine: refresh", "other: refresh"]


def test_playground_is_a_command_of_the_bot(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    played = []

    async def fake(settings: BotSettings, *, port: int | None, out: Path, stay: bool) -> None:
        del settings
        played.append((port, out, stay))

    monkeypatch.setattr(playground, "play", fake)
    assert main(["playground", "--port", "8080", "--out", str(tmp_path), "--stay"]) == 0
    assert played == [(8080, tmp_path, True)]


def test_playground_without_its_library_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setitem(sys.modules, "simcord", None)
    monkeypatch.delitem(sys.modules, "bot.playground")
    assert main(["playground"]) == 2
    assert "pip install 'liqmap[playground]'" in capsys.readouterr().err
