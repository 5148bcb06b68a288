from __future__ import annotations

import errno
import json
import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from liqmap.brackets.save import save_tiers
from liqmap.cli.main import main
from liqmap.errors import UnreadableStore
from liqmap.exchanges import EXCHANGES
from liqmap.exchanges.messages import Liquidation, RiskTier
from liqmap.model import Exchange, Market, Side
from liqmap.model.window import TimeWindow, missing
from liqmap.render.realised import realised_label
from liqmap.run.margin_check import margin_check, margin_checks, margin_checks_text
from liqmap.run.realised import realised_in
from liqmap.store.feeds import note_feed
from liqmap.store.liquidations import append_liquidations
from liqmap.text import realised_text

SHARED = Path(__file__).parents[4] / "shared" / "data" / "more"
real = pytest.mark.skipif(not SHARED.is_dir(), reason="the real messages of ../shared/data are not here")
BINANCE, BYBIT = Exchange.BINANCE, Exchange.BYBIT
START = datetime(2026, 10, 9, 17, tzinfo=UTC)
WINDOW = TimeWindow(START, START + timedelta(hours=6))


def liquidation(
    hour: float, position: Side, price: float, size: float, gap: float | None = None
) -> Liquidation:
    sign = -1 if position is Side.BUY else 1
    at = int((START + timedelta(hours=hour)).timestamp() * 1000)
    bankruptcy = None if gap is None else price * (1 + sign * gap)
    return Liquidation("BTCUSDT", at, position, price, size, bankruptcy)


def test_sums_are_those_of_the_dots_inside_the_window_of_each_side(tmp_path: Path):
    events = [
        liquidation(1, Side.BUY, 80_000, 0.5),
        liquidation(2, Side.SELL, 81_000, 0.1),
        liquidation(0.5, Side.BUY, 79_000, 0.2),
        liquidation(7, Side.BUY, 80_000, 9.0),
    ]
    append_liquidations(tmp_path, BYBIT, events, complete=True)
    note_feed(tmp_path, BYBIT, "BTCUSDT", WINDOW)
    found = realised_in(tmp_path, Market(BYBIT, "BTCUSDT"), WINDOW)
    assert found is not None
    assert found.time.tolist() == sorted(found.time.tolist())
    for side, total in ((Side.BUY, found.sums.long), (Side.SELL, found.sums.short)):
        assert found.side(side)[2].sum() == pytest.approx(total)
    assert realised_text(found.sums) == (
        "longs $55.8K in 2, shorts $8.10K in 1 (complete, at bankruptcy prices)"
    )


def test_liquidations_that_cannot_be_read_now_are_not_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    append_liquidations(tmp_path, BYBIT, [liquidation(1, Side.BUY, 80_000, 0.5)], complete=True)
    reading = Path.read_bytes

    def read_bytes(path: Path) -> bytes:
        if path.suffix == ".csv":
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return reading(path)

    monkeypatch.setattr(Path, "read_bytes", read_bytes)
    with pytest.raises(UnreadableStore, match="please try again in a moment"):
        realised_in(tmp_path, Market(BYBIT, "BTCUSDT"), WINDOW)


def test_sums_of_a_sampled_feed_or_of_a_part_are_at_least_what_they_say(tmp_path: Path):
    market = Market(BINANCE, "BTCUSDT")
    assert realised_in(tmp_path, market, WINDOW) is None
    note_feed(tmp_path, BINANCE, "BTCUSDT", TimeWindow(START, START + timedelta(hours=3)))
    quiet = realised_in(tmp_path, market, WINDOW)
    assert quiet is not None
    assert realised_text(quiet.sums) == "none received (sampled, received in 50 % of the window)"
    append_liquidations(tmp_path, BINANCE, [liquidation(1, Side.BUY, 80_000, 0.5)], complete=False)
    busy = realised_in(tmp_path, market, WINDOW)
    assert busy is not None
    assert realised_text(busy.sums) == (
        "longs at least $40.0K in 1, no shorts (sampled, received in 50 % of the window, at fill prices)"
    )


@pytest.mark.parametrize(
    ("seconds", "words", "label"),
    [
        (5, "none received (received in less than 0.1 % of the window)", None),
        (3 * 3600, "none received (received in 50 % of the window)", None),
        (6 * 3600, "none received (complete)", "nothing was liquidated"),
    ],
)
def test_window_without_liquidations_never_says_at_least_zero(
    tmp_path: Path, seconds: int, words: str, label: str | None
):
    note_feed(tmp_path, BYBIT, "BTCUSDT", TimeWindow(START, START + timedelta(seconds=seconds)))
    found = realised_in(tmp_path, Market(BYBIT, "BTCUSDT"), WINDOW)
    assert found is not None
    assert (realised_text(found.sums), realised_label(found, marks="dots")) == (words, label)


def test_sums_are_complete_only_if_every_minute_of_a_long_window_was_received(tmp_path: Path):
    market, days = Market(BYBIT, "BTCUSDT"), TimeWindow(START, START + timedelta(days=90))
    append_liquidations(tmp_path, BYBIT, [liquidation(1, Side.BUY, 80_000, 0.5)], complete=True)
    minute = TimeWindow(START + timedelta(hours=2), START + timedelta(hours=2, minutes=1))
    for day in days.days:
        for part in missing(TimeWindow.of_day(day), [minute]):
            note_feed(tmp_path, BYBIT, "BTCUSDT", part)
    lacking = realised_in(tmp_path, market, days)
    assert lacking is not None
    assert realised_text(lacking.sums) == (
        "longs at least $40.0K in 1, no shorts (received in 99.9 % of the window, at bankruptcy prices)"
    )
    note_feed(tmp_path, BYBIT, "BTCUSDT", minute)
    whole = realised_in(tmp_path, market, days)
    assert whole is not None
    assert realised_text(whole.sums) == "longs $40.0K in 1, no shorts (complete, at bankruptcy prices)"


def test_label_of_the_marks_names_only_the_sides_that_have_some(tmp_path: Path):
    append_liquidations(tmp_path, BYBIT, [liquidation(1, Side.SELL, 80_000, 0.5)], complete=True)
    for seconds, label in ((60, "shorts ≥ $40.0K"), (6 * 3600, "shorts $40.0K")):
        note_feed(tmp_path, BYBIT, "BTCUSDT", TimeWindow(START, START + timedelta(seconds=seconds)))
        found = realised_in(tmp_path, Market(BYBIT, "BTCUSDT"), WINDOW)
        assert found is not None
        assert realised_label(found, marks="ticks") == f"ticks: liquidated {label}"


@pytest.mark.shared
@real
@pytest.mark.parametrize(
    ("exchange", "line", "contract", "long"),
    [(BINANCE, 0, 1, 15_703.86), (BYBIT, 1, 1, 3_625.36), (Exchange.OKX, 2, 0.01, 7_067.06)],
)
def test_real_messages_of_one_event_are_a_liquidated_long(
    tmp_path: Path, exchange: Exchange, line: int, contract: float, long: float
):
    text = (SHARED / "liquidation_frames" / "frames.jsonl").read_text().splitlines()[line]
    live = EXCHANGES[exchange].live
    events = [each for each in live.read(text) or () if isinstance(each, Liquidation)]
    events = [each._replace(size=each.size * contract) for each in events]
    append_liquidations(tmp_path, exchange, events, complete=live.complete_liquidations)
    found = realised_in(tmp_path, Market(exchange, "BTCUSDT"), TimeWindow.of_day(START.date()))
    assert found is not None
    assert (round(found.sums.long, 2), found.sums.short) == (long, 0)


def forced_order(row: str) -> str:
    name, side, kind, force, size, limit, fill, state, last, filled, time, *_ = row.split(",")
    order: dict[str, object] = {
        "s": f"{name}USDT",
        "S": side,
        "o": kind,
        "f": force,
        "q": size,
        "p": limit,
        "ap": fill,
    }
    order |= {"X": state, "l": last, "z": filled, "T": int(time)}
    return json.dumps({"data": {"e": "forceOrder", "o": order}})


@pytest.mark.shared
@real
@pytest.mark.parametrize(("symbol", "gap", "count"), [("BTCUSDT", 0.00366, 4), ("ETHUSDT", 0.00373, 4)])
def test_margin_check_of_real_events_finds_the_first_bracket_s_rate(symbol: str, gap: float, count: int):
    rows = (SHARED / "binance_forceorder" / "forceorder_2024-08-17.csv").read_text().splitlines()
    live = EXCHANGES[BINANCE].live
    events = [
        each for row in rows for each in live.read(forced_order(row)) or () if isinstance(each, Liquidation)
    ]
    found = margin_check(Market(BINANCE, symbol), [each for each in events if each.symbol == symbol])
    assert found is not None
    assert found.gap is not None
    assert (round(found.gap, 5), found.count) == (gap, count)
    assert found.rate in {0.004, 0.005}  # of the tables that ship
    whole = margin_check(Market(BINANCE, "BTCUSDT"), events)
    assert whole is not None
    assert whole.right == 1.0


@pytest.mark.parametrize(("before", "now"), [(0.004, 0.01), (0.01, 0.004)])
def test_liquidations_of_earlier_brackets_do_not_hide_those_of_now(before: float, now: float):
    old = [liquidation(-31 * 24 - each, Side.BUY, 80_000, 0.1, before) for each in range(300)]
    new = [liquidation(each / 10, Side.BUY, 80_000, 0.1, now) for each in range(40)]
    check = margin_check(Market(BINANCE, "BTCUSDT"), [*old, *new])
    assert check is not None
    assert check.gap is not None
    assert (check.count, round(check.gap, 9)) == (40, now)
    assert (check.problem is None) == (now == 0.004)


def changed_brackets(folder: Path, day: date, rate: float) -> tuple[Path, ...]:
    save_tiers(folder, BINANCE, {"BTCUSDT": [RiskTier(300_000, rate, 50.0)]}, day=day, source="Binance")
    return (folder,)


@pytest.mark.parametrize(
    ("count", "before", "fits", "words"),
    [
        (40, 0.004, 0.008, None),  # half of the events of 30 days still have the old rate
        (12, 0.004, 0.008, "known to hold since 2026-10-10; 12 of its liquidations came since then, too few"),
        (0, 0.004, 0.008, "0 of its liquidations came since then, too few"),
        (40, 0.008, 0.003, "liquidations suggest a maintenance rate of 0.30%, the first bracket has 0.80%"),
    ],
)
def test_brackets_are_judged_by_liquidations_since_they_changed(
    tmp_path: Path, count: int, before: float, fits: float, words: str | None
):
    # The brackets changed at some hour of October 9, from 0.4 to 0.8 %.
    folders = changed_brackets(tmp_path, START.date(), 0.008)
    old = [liquidation(-each, Side.BUY, 80_000, 0.1, before) for each in range(300)]
    new = [liquidation(7 + each, Side.BUY, 80_000, 0.1, fits) for each in range(count)]
    check = margin_check(Market(BINANCE, "BTCUSDT"), [*old, *new], folders=folders)
    assert check is not None
    assert (check.count, check.rate, check.since) == (count, 0.008, date(2026, 10, 10))
    assert check.gap == (pytest.approx(fits) if count else None)
    remark = check.problem or check.too_few
    assert (words in remark) if words and remark else remark is words
    measured = f"{fits:.3%}" if count else "unknown"
    assert margin_checks_text([check]).split()[-5:] == ["Binance", "BTCUSDT", measured, "0.800%", str(count)]


def test_table_of_after_the_newest_liquidation_says_nothing_of_when_its_brackets_began(tmp_path: Path):
    tiers, after = [RiskTier(300_000, 0.004, 50.0)], START.date() + timedelta(days=9)
    save_tiers(tmp_path, BINANCE, {"NEWUSDT": tiers}, day=after, source="Binance")
    events = [liquidation(-each, Side.BUY, 80_000, 0.1, 0.004) for each in range(40)]
    check = margin_check(Market(BINANCE, "NEWUSDT"), events, folders=(tmp_path,))
    assert check is not None
    assert (check.count, check.since, check.problem, check.too_few) == (40, None, None, None)


@pytest.mark.parametrize(
    ("gap", "count", "words"),
    [
        (0.004, 40, None),
        (0.0065, 40, "liquidations suggest a maintenance rate of 0.65%, the first bracket has 0.40%"),
        (0.0065, 20, None),
        (-0.004, 40, "read the wrong way round"),
    ],
)
def test_bracket_that_no_longer_fits_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], gap: float, count: int, words: str | None
):
    events = [liquidation(each / 10, Side.BUY, 80_000 + each, 0.1, gap) for each in range(count)]
    append_liquidations(tmp_path, BINANCE, events, complete=False)
    (check,) = margin_checks(tmp_path)
    assert (words in check.problem) if words and check.problem else check.problem is words
    config = tmp_path / "liqmap.toml"
    nowhere = "".join(f'exchanges.{each}.api_url = "http://127.0.0.1:1"\n' for each in Exchange)
    config.write_text(f'storage.path = "{tmp_path}"\n{nowhere}')
    assert main(["status", "--margin", "--config", str(config)]) == 0
    reported = capsys.readouterr()
    assert reported.out.splitlines()[1].split()[1:] == ["BTCUSDT", f"{abs(gap):.3%}", "0.400%", str(count)]
    assert (words or "") in reported.err
    main(["check", "--config", str(config)])
    assert (words or "") in capsys.readouterr().out
