"""Every parser of what comes from outside, and what must be true of whatever it lets in."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bot.ops.backup_file import read_backup
from liqmap.brackets import find_brackets, table_name
from liqmap.brackets.tiers import tiers_text
from liqmap.exchanges import EXCHANGES
from liqmap.exchanges.exchange_row import ExchangeRow
from liqmap.exchanges.messages import Backfill, Liquidation, LiquidationPages, StreamTrade, SymbolTiers
from liqmap.exchanges.protocol import (
    InstrumentFormat,
    LiquidationFiles,
    Paged,
    RiskLimitFormat,
    SeriesFiles,
    SeriesPages,
    TimeFormat,
    VolumeFormat,
)
from liqmap.model import Exchange, Trades
from liqmap.model.series import Series
from liqmap.model.window import TimeWindow
from liqmap.net.attempts import retry_after
from liqmap.net.download import read_checksum
from liqmap.net.rest import _parsed
from tests.doors.mutations import Mutation, bytewise, fieldwise, valuewise
from tests.doors.samples import BACKUP, BRACKET_TABLE, CHECKSUM, DAY, Samples, encoded, samples_of

_NOW = datetime(2023, 8, 2, tzinfo=UTC)
_ASKED_MS = 1_690_848_000_000
_SENT = "Wed, 21 Oct 2026 07:00:00 GMT"
_TABLE_DAY = date(2030, 1, 1)
_LARGEST_FILE = 1_000_000
_JSON: tuple[Mutation, ...] = (bytewise, valuewise, valuewise)


@dataclass(frozen=True)
class Door:
    """A parser, inputs that it reads, how these are mutated in turn, and the most lines of a complaint."""

    parse: Callable[[bytes], object]
    inputs: tuple[bytes, ...]
    mutations: tuple[Mutation, ...] = _JSON
    most_lines: int = 1


def doors(folder: Path) -> dict[str, Door]:
    """Return all parsers by name; what they read from files is put into `folder`."""
    found = {
        f"{exchange} {name}": door
        for exchange in Exchange
        for name, door in _doors_of(exchange, samples_of(exchange), folder)
    }
    return found | {
        "answers": Door(_answer, (encoded([1, {"a": "b"}]),)),
        "checksums": Door(_checksum, (CHECKSUM,), (bytewise,)),
        "retry-after": Door(_wait, (b"120", b"Wed, 21 Oct 2026 07:28:00 GMT"), (bytewise,)),
        "bracket tables": Door(partial(_table, folder), (BRACKET_TABLE,), (bytewise, fieldwise)),
        "backups": Door(partial(read_backup, now=_NOW), (encoded(BACKUP),), most_lines=22),
    }


def _doors_of(exchange: Exchange, its: Samples, folder: Path) -> Iterator[tuple[str, Door]]:
    row = EXCHANGES[exchange]
    for symbol, content in its.files.items():
        inside = (its.inside(bytewise), its.inside(fieldwise), its.inside(fieldwise))
        read = partial(_day, exchange, symbol, folder / "day")
        yield f"files of {symbol}", Door(read, (content,), (bytewise, *inside))
    if row.liquidations.files is not None:
        inside = (its.inside(bytewise), its.inside(fieldwise), its.inside(fieldwise))
        read = partial(_liquidations, row.liquidations.files, folder / "day")
        yield "files of liquidations", Door(read, (its.liquidations,), (bytewise, *inside))
    if row.liquidations.pages is not None:
        read_told = partial(_liquidation_page, row.liquidations.pages)
        yield "pages of liquidations", _of_answers(its.liquidation_pages, read_told)
    yield "messages", Door(lambda data: _events(row.live.read(_text(data))), _inputs(its.messages))
    yield "newest", _of_answers(its.newest, partial(row.live.newest, asked=_NOW))
    yield "times", _of_answers(its.times, partial(_time, row.time))
    yield "listings", _of_answers(its.listings, partial(_paged, row.listing, row.listing.read))
    yield from _series_doors_of(row, its, folder)
    if row.instruments is not None:
        read_contracts = partial(_contracts, row.instruments)
        yield "instruments", _of_answers(its.listings, read_contracts)
    if row.margin.risk_limits is not None:
        read_tiers = partial(_paged, row.margin.risk_limits, partial(_tiers, row.margin.risk_limits))
        yield "risk limits", _of_answers(its.risk_limits, read_tiers)
    if row.volumes is not None:
        yield "volumes", _of_answers(its.volumes, partial(_volumes, row.volumes))
    if row.backfill is not None:
        yield "pages", _of_answers(its.pages, partial(_page, row.backfill))
        yield "refusals", _of_answers(its.refusals, partial(row.backfill.explained, symbol="BTCUSDT"))
    if its.busy:
        yield "busy answers", _of_answers(its.busy, partial(_busy, row))
    if its.weights:
        inputs = tuple(each.encode() for each in its.weights)
        yield "weights", Door(partial(_weight, row), inputs, (bytewise,))


def _series_doors_of(row: ExchangeRow, its: Samples, folder: Path) -> Iterator[tuple[str, Door]]:
    for kind, form in row.series.items():
        if form.files is not None:
            parse = partial(_series_day, form.files, folder / "series")
            mutations = (bytewise, its.inside(bytewise), its.inside(fieldwise))
            yield f"files of {kind}", Door(parse, (its.series_files[kind],), mutations)
        if form.pages is not None:
            read_page = partial(_series_page, form.pages)
            yield f"pages of {kind}", _of_answers([its.series_pages[kind]], read_page)


def _inputs(values: Iterable[object]) -> tuple[bytes, ...]:
    inputs = tuple(map(encoded, values))
    assert inputs, "a parser has no sample"
    return inputs


def _of_answers(answers: Iterable[object], parse: Callable[[Any], object]) -> Door:
    return Door(lambda data: parse(_answer(data)), _inputs(answers))


def _answer(data: bytes) -> object:
    return _parsed(data, "example.org")


def _paged(what: Paged | RiskLimitFormat, read: Callable[[Any], object], answer: object) -> None:
    read(answer)
    address = what.next_url("https://example.org/list?category=linear&cursor=c", answer)
    assert address is None or address.isascii()


def _volumes(volumes: VolumeFormat, answer: object) -> None:
    assert all(0 <= volume < 1e21 for volume in volumes.read(answer).values())


def _tiers(limits: RiskLimitFormat, answer: object) -> None:
    for tiers in limits.read(answer).values():
        with suppress(ValueError):  # who saves them leaves such a symbol out
            tiers_text(tiers or ())


def _contracts(instruments: InstrumentFormat, answer: object) -> None:
    for each in instruments.read(answer).values():
        assert 1e-12 <= each.unit <= 1e15
        assert 1 <= each.max_leverage <= 1000


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _wait(data: bytes) -> None:
    seconds = retry_after({"Retry-After": _text(data), "Date": _SENT})
    assert seconds is None or seconds >= 0


def _checksum(data: bytes) -> None:
    assert re.fullmatch("[0-9a-f]{64}", read_checksum(data, host="example.org"))


def _time(form: TimeFormat, answer: object) -> None:
    assert 10**12 <= form.read(answer) < 10**13


def _busy(row: ExchangeRow, answer: object) -> None:
    wait = row.limits.busy(answer)
    assert wait is None or 0 < wait < 60


def _weight(row: ExchangeRow, data: bytes) -> None:
    weight = row.limits.used_weight({"X-MBX-USED-WEIGHT-1M": _text(data)})
    assert weight is None or weight >= 0


def _page(backfill: Backfill, answer: object) -> None:
    page = backfill.read_page(answer)
    assert len(page.ids) == len(page.trades)
    backfill.first_id(page, _ASKED_MS)


def _table(folder: Path, data: bytes) -> None:
    (folder / table_name(Exchange.BINANCE, _TABLE_DAY)).write_bytes(data)
    for symbol in ("BTCUSDT", "ETHUSDT"):
        find_brackets(Exchange.BINANCE, symbol, on=_TABLE_DAY, folders=(folder,))


def _day(exchange: Exchange, symbol: str, file: Path, data: bytes) -> None:
    file.write_bytes(data)
    day = EXCHANGES[exchange].files.read_day(file, symbol, DAY, max_unpacked_size=_LARGEST_FILE)
    assert min(day.lost_ids, day.duplicates, day.zero_sizes) >= 0
    _check_trades(day.trades, EXCHANGES[exchange].files.span(DAY))


def _liquidations(files: LiquidationFiles, file: Path, data: bytes) -> None:
    file.write_bytes(data)
    found = files.read_day(file, "BTCUSD_PERP", DAY, max_unpacked_size=_LARGEST_FILE)
    window = TimeWindow.of_day(DAY)
    assert [each.time for each in found] == sorted(each.time for each in found)
    for each in found:
        assert window.start_ms <= each.time < window.end_ms
        _check_liquidation(each)


def _liquidation_page(pages: LiquidationPages, answer: object) -> None:
    for each in pages.read_page(answer, "BTCUSDT").liquidations:
        assert (each.symbol, each.time > 0) == ("BTCUSDT", True)
        _check_liquidation(each)


def _check_liquidation(each: Liquidation) -> None:
    assert 1e-12 <= each.price <= 1e15
    assert 0 < each.size <= 1e17


def _series_day(files: SeriesFiles, file: Path, data: bytes) -> None:
    file.write_bytes(data)
    series = files.read_day(file, "BTCUSDT", DAY, max_unpacked_size=_LARGEST_FILE)
    window = TimeWindow.of_day(DAY)
    assert ((series.time >= window.start_ms) & (series.time < window.end_ms)).all()
    _check_series(series)


def _series_page(pages: SeriesPages, answer: object) -> None:
    _check_series(pages.read_page(answer, "BTCUSDT"))


def _check_series(series: Series) -> None:
    assert (np.diff(series.time) > 0).all()
    assert not (series.time % series.kind.step_ms).any()
    assert ((series.values >= 0) & (series.values <= 1e15)).all()


def _check_trades(trades: Trades, window: TimeWindow) -> None:
    assert ((trades.time >= window.start_ms) & (trades.time < window.end_ms)).all()
    assert (np.diff(trades.time) >= 0).all()
    assert ((trades.price >= 1e-12) & (trades.price <= 1e15)).all()
    assert ((trades.size >= 1e-12) & (trades.size <= 1e17)).all()  # 1e15 contracts of up to 100 dollars


def _events(found: object) -> None:
    for event in found if isinstance(found, list) else ():
        if isinstance(event, SymbolTiers):
            with suppress(ValueError):  # who saves them leaves such a symbol out
                tiers_text(event.tiers)
            continue
        assert isinstance(event, StreamTrade | Liquidation)
        assert 0 <= event.size <= 1e15
        assert not event.size or 1e-12 <= event.price <= 1e15
        assert 10**12 <= event.time < 10**13
