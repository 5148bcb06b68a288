from __future__ import annotations

import sys
from pathlib import Path

import pytest
import simcord

from bot import playground
from bot.app import main
from bot.playground import play
from bot.settings import BotSettings
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
