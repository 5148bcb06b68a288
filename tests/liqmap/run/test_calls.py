"""One call draws a map: from plain text, in a running loop, without a main guard."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any, NoReturn

import pandas as pd
import pyarrow.compute as pc
import pytest

import liqmap
from liqmap.errors import RequestError, SettingsError
from liqmap.model import ALL_PICTURES, Exchange, MapRequest, Picture, TopN
from liqmap.model.window import TimeWindow
from liqmap.run.calls import in_own_loop
from liqmap.run.result import MapResult
from liqmap.run.typed import parse_request

END = "2023-08-01 06:00"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("calls")


@pytest.fixture(scope="module")
def drawn(folder: Path) -> MapResult:
    return draw(folder, "3h", "top_n 40", tables=True, pictures=ALL_PICTURES)


def draw(
    folder: Path, window: str | timedelta | TimeWindow, selection: str | TopN, **options: object
) -> MapResult:
    config = folder / "liqmap.toml"
    config.write_text(f'storage.path = "{folder / "store"}"\n')
    chosen = {"end": END} if not isinstance(window, TimeWindow) else {}
    options = {"simulated": True, "settings": config} | chosen | options
    return liqmap.draw("BTCUSDT", window, selection, **options)  # type: ignore[arg-type]


def test_call_in_text_draws_its_request(drawn: MapResult):
    assert drawn.request.selection == TopN(40)
    assert drawn.request.window == TimeWindow.ending(datetime(2023, 8, 1, 6, tzinfo=UTC), timedelta(hours=3))
    assert set(drawn.pictures) == ALL_PICTURES
    assert drawn.coverage.simulated


def requested(window: str | timedelta, selection: str | TopN, **options: object) -> MapRequest:
    return parse_request("BTCUSDT", window, selection, {"end": END, **options}, max_days=90)  # type: ignore[typeddict-item]


def test_call_takes_text_and_values_alike():
    text = requested("3h", "top_n 40", leverages="25:65, 10:35", pictures="heatmap, map", exchange="all")
    values = requested(
        timedelta(hours=3),
        TopN(40),
        leverages={10: 35, 25: 65},
        pictures={Picture.MAP, Picture.HEATMAP},
        exchange="binance,bybit,okx",
        stack="exchange",
        turnover=0,
    )
    assert text == values
    assert requested("3h", "top_n 40", leverages=[50, 100]).leverages == (50, 100)


async def test_call_in_a_running_loop_with_values_draws_the_same(
    drawn: MapResult, folder: Path, caplog: pytest.LogCaptureFixture
):
    again = draw(folder, drawn.request.window, TopN(40), pictures=[Picture.DEPTH])
    assert again.summary == drawn.summary
    awaited = await liqmap.adraw(
        "btc",
        timedelta(hours=3),
        TopN(40),
        end=datetime(2023, 8, 1, 6, tzinfo=UTC),
        simulated=True,
        settings=folder / "liqmap.toml",
    )
    assert awaited.summary == drawn.summary
    said = [each.message for each in caplog.records if each.name == "liqmap.run.calls"]
    assert said == ["BTC: BTCUSDT"]


def test_tables_add_up_to_the_numbers_of_the_summary(drawn: MapResult):
    summary, levels, buckets = drawn.summary, drawn.levels(), drawn.buckets()
    standing = levels.filter(pc.equal(levels["state"], "standing"))
    assert pc.sum(levels["notional"]).as_py() == pytest.approx(
        summary.selected_notional_buy + summary.selected_notional_sell - summary.unplaced
    )
    assert pc.sum(standing["notional"]).as_py() == pytest.approx(
        summary.standing_long + summary.standing_short
    )
    assert pc.sum(buckets["long"]).as_py() == pytest.approx(summary.standing_long)
    assert pc.sum(buckets["short"]).as_py() == pytest.approx(summary.standing_short)
    assert drawn.path()["close"][-1].as_py() == summary.last_price
    clusters = drawn.clusters().to_pylist()
    assert [each["price"] for each in clusters] == [each.price for each in summary.clusters]
    heatmap = drawn.heatmap()
    last = heatmap.filter(pc.equal(heatmap["time"], pc.max(heatmap["time"])))
    assert pc.sum(last["notional"]).as_py() == pytest.approx(
        summary.standing_long + summary.standing_short, rel=0.03
    )
    assert list(drawn.levels().to_pandas().columns)[:3] == ["side", "leverage", "entry_time"]


def test_notebook_shows_the_numbers_and_every_picture(drawn: MapResult):
    html = drawn._repr_html_()
    assert html.count("<img") == len(drawn.pictures)
    assert "BTCUSDT on Binance" in html
    assert "SIMULATED DATA" in html
    assert "Estimated from trades by the" in html
    assert drawn._repr_png_().startswith(b"\x89PNG")


def test_all_exchanges_are_one_map_in_one_call(folder: Path):
    result = draw(folder, "3h", "top_n 40", exchange="all", sweep="traded")
    assert [each.exchange for each in result.request.markets] == [*Exchange]
    assert "on Binance + Bybit + OKX" in result._repr_html_()


def test_saved_result_has_its_files_under_their_names(drawn: MapResult, folder: Path):
    paths = drawn.save(folder / "out")
    assert sorted(paths) == sorted(ALL_PICTURES)
    assert paths["map"].read_bytes() == drawn.pictures[Picture.MAP]


def test_tables_that_were_not_requested_are_refused_in_a_sentence(folder: Path):
    plain = draw(folder, "3h", "top_n 40")
    assert plain.tables == {}
    with pytest.raises(RequestError, match="add tables=True"):
        plain.levels()
    with pytest.raises(RequestError, match="heatmap"):
        draw(folder, "3h", "top_n 40", tables=True).heatmap()


def test_interrupted_call_ends_its_work_before_it_returns(monkeypatch: pytest.MonkeyPatch):
    started, ended = threading.Event(), threading.Event()

    async def endless() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    class Interrupted(ThreadPoolExecutor):
        def submit(self, *args: Any, **named: Any) -> NoReturn:
            super().submit(*args, **named)
            started.wait()
            raise KeyboardInterrupt

    monkeypatch.setattr("liqmap.run.calls.ThreadPoolExecutor", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        in_own_loop(endless)
    assert ended.is_set()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"end": datetime(2023, 8, 1, 6)}, "needs a time zone"),  # noqa: DTZ001
        ({"end": "soon"}, "is not a time"),
        ({"exchange": "mtgox"}, "mtgox"),
        ({"leverages": "1000"}, "must be whole numbers"),
        ({"leverage": "10"}, "no option leverage; it takes each, end, exchange"),
        ({"pictures": "map,globe"}, "“globe” is not known; choose among map, depth, heatmap"),
        ({"pictures": []}, "needs a picture at least"),
        ({"pictures": None}, "“None” cannot be read"),
        ({"pictures": [5]}, "“5” cannot be read"),
        ({"leverages": None}, "“None” must be whole numbers"),
        ({"leverages": b"10,25"}, "must be whole numbers"),
        ({"simulated": "no"}, "simulated must be True or False, not 'no'"),
        ({"end": 5}, "“5” cannot be read"),
        ({"end": pd.NaT}, "“NaT” is not a time"),
        ({"end": datetime.min.replace(tzinfo=timezone(timedelta(hours=3)))}, "is not a time"),
        ({"end": datetime(2023, 8, 1, 6, 0, 0, 5, tzinfo=UTC)}, r"add \.replace\(microsecond=0\) to it"),
        ({"end": datetime(9000, 1, 1, tzinfo=UTC)}, "9000-01-01 00:00 lies in the future"),
    ],
)
def test_call_with_a_wrong_option_raises_one_sentence(
    folder: Path, options: dict[str, object], sentence: str
):
    with pytest.raises(RequestError, match=sentence):
        draw(folder, "3h", "top_n 40", **options)


@pytest.mark.parametrize(
    ("window", "sentence"),
    [
        (timedelta(hours=3, milliseconds=5), "whole seconds"),
        (TimeWindow.ending(datetime(9000, 1, 1, tzinfo=UTC), timedelta(hours=3)), "lies in the future"),
    ],
)
def test_call_with_a_window_that_cannot_be_drawn_raises_one_sentence(
    folder: Path, window: timedelta | TimeWindow, sentence: str
):
    with pytest.raises(RequestError, match=sentence):
        draw(folder, window, "top_n 40")


@pytest.mark.parametrize("wrong", [5, {"storage": {}}])
def test_call_with_settings_of_another_kind_raises_one_sentence(wrong: object):
    with pytest.raises(SettingsError, match="must be a file of settings, or Settings, not"):
        liqmap.draw("BTCUSDT", "3h", settings=wrong)  # type: ignore[arg-type]
