from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from liqmap.errors import DataError, UnreadableStore
from liqmap.exchanges.binance.live import BinanceLive
from liqmap.exchanges.bybit.live import BybitLive
from liqmap.exchanges.messages import Liquidation, LiveFormat
from liqmap.files import locked
from liqmap.model import Exchange, Side
from liqmap.store import liquidations as tables
from liqmap.store.damaged import files_aside
from liqmap.store.liquidations import (
    COLUMNS,
    append_liquidations,
    merge_liquidations,
    read_liquidations,
    write_liquidations,
)
from tests.liqmap.exchanges.binance.test_live import LIQUIDATION as BINANCE_MESSAGE
from tests.liqmap.exchanges.bybit.test_live import LIQUIDATIONS as BYBIT_MESSAGE
from tests.liqmap.interleaved import begun_at

DAY = date(2026, 10, 4)
MS = 1_791_072_000_000  # its midnight
LONG = Liquidation("BTCUSDT", MS + 5, Side.BUY, 78_541.7, 0.014)
SHORT = Liquidation("BTCUSDT", MS + 7, Side.SELL, 78_600.0, 1.5, 78_914.4)
PLAIN = SHORT._replace(bankruptcy=None)


def path_of(root: Path) -> Path:
    return root / "liquidations" / "binance" / "BTCUSDT" / f"{DAY}.csv"


def append(root: Path, *liquidations: Liquidation, complete: bool = True) -> None:
    append_liquidations(root, Exchange.BINANCE, liquidations, complete=complete)


def read(root: Path, symbol: str = "BTCUSDT", day: date = DAY) -> list[Liquidation]:
    return list(read_liquidations(root, Exchange.BINANCE, symbol, day))


def test_liquidations_come_back_in_the_order_in_which_they_came(tmp_path: Path):
    append(tmp_path, SHORT, LONG)
    append(tmp_path, LONG)
    assert read(tmp_path) == [SHORT, LONG, LONG]


def test_table_is_csv_behind_two_lines_of_comment(tmp_path: Path):
    append(tmp_path, LONG)
    append(tmp_path, SHORT, complete=False)
    seal, comment, *rows = path_of(tmp_path).read_text().splitlines()
    assert seal.startswith("# xxh3: ")
    assert comment == "# liquidations"
    assert rows == [
        ",".join(COLUMNS),
        f"{MS + 5},long,78541.7,0.014,complete,",
        f"{MS + 7},short,78600.0,1.5,sampled,78914.4",
    ]
    assert {each.name for each in path_of(tmp_path).parent.iterdir()} == {"lock", path_of(tmp_path).name}


@pytest.mark.parametrize("add", [append_liquidations, merge_liquidations])
def test_new_folders_of_a_table_are_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, add: Callable[..., None]
):
    synced: list[Path] = []
    monkeypatch.setattr("liqmap.files.sync_folder", synced.append)
    add(tmp_path, Exchange.BINANCE, [LONG], complete=True)
    kind = tmp_path / "liquidations"
    assert synced == [tmp_path, kind, kind / "binance", kind / "binance" / "BTCUSDT"]


def test_whole_day_replaces_shorter_segments(tmp_path: Path):
    append(tmp_path, LONG)
    write_liquidations(tmp_path, Exchange.BINANCE, "BTCUSDT", DAY, [SHORT, LONG], complete=True)
    assert read(tmp_path) == [SHORT, LONG]


def test_liquidations_are_kept_by_symbol_and_day_of_utc(tmp_path: Path):
    before, other = LONG._replace(time=MS - 1), LONG._replace(symbol="ETHUSDT")
    append(tmp_path, LONG, before, other)
    assert read(tmp_path) == [LONG]
    assert read(tmp_path, day=date(2026, 10, 3)) == [before]
    assert read(tmp_path, "ETHUSDT") == [other]
    assert read(tmp_path, "XRPUSDT") == []


@pytest.mark.parametrize(
    ("live", "message", "position"),
    [
        (BinanceLive(), BINANCE_MESSAGE, Side.BUY),  # SELL closed a long
        (BybitLive(), BYBIT_MESSAGE, Side.SELL),  # Sell was a short
    ],
    ids=["binance", "bybit"],
)
def test_either_convention_ends_up_as_the_side_of_the_position(
    tmp_path: Path, live: LiveFormat, message: object, position: Side
):
    found = live.read(json.dumps(message))
    assert isinstance(found, list)
    liquidation = found[0]
    assert isinstance(liquidation, Liquidation)
    append(tmp_path, liquidation, complete=live.complete_liquidations)
    (table,) = tmp_path.glob("liquidations/*/*/*.csv")
    row = table.read_text().splitlines()[3].split(",")
    assert row[1] == ("long" if position is Side.BUY else "short")
    assert row[4] == ("complete" if isinstance(live, BybitLive) else "sampled")
    assert read(tmp_path, liquidation.symbol, date.fromisoformat(table.stem)) == [liquidation]


def as_of_before(root: Path) -> bytes:
    """Rewrite a table as an earlier version would have written it, and return its content."""
    rows = path_of(root).read_bytes().splitlines()[2:]
    content = b"".join(row.rpartition(b",")[0] + b"\n" for row in rows)
    path_of(root).write_bytes(content)
    return content


@pytest.mark.parametrize("cut", range(114))
def test_table_without_a_seal_is_read_without_a_torn_row_and_then_sealed(tmp_path: Path, cut: int):
    append(tmp_path, LONG, PLAIN)
    content = as_of_before(tmp_path)
    last = content.splitlines(keepends=True)
    os.truncate(path_of(tmp_path), len(content) - cut)
    before = read(tmp_path) if cut <= len(b"".join(last[1:])) else []
    # Without its line end alone, a row is whole.
    whole = sum(cut <= sum(map(len, last[row + 1 :])) + 1 for row in (1, 2))
    assert before == [LONG, PLAIN][:whole]
    append(tmp_path, PLAIN)
    if cut <= len(b"".join(last[1:])):
        assert read(tmp_path) == [*before, PLAIN]
        assert path_of(tmp_path).read_bytes().startswith(b"# xxh3: ")


def test_rows_of_garbage_in_a_table_without_a_seal_are_left_out(tmp_path: Path):
    append(tmp_path, LONG)
    as_of_before(tmp_path)
    with path_of(tmp_path).open("ab") as file:
        file.write(
            b"\n\xff\xfe\n,,,,\n1,long,x,1,complete\n1,up,1,1,complete\n1,long,1,1\n1,long,1,1,perhaps\n"
        )
    append(tmp_path, PLAIN)
    assert read(tmp_path) == [LONG, PLAIN]


def test_damaged_table_is_an_error_and_set_aside_by_the_next_write(tmp_path: Path):
    append(tmp_path, LONG)
    content = path_of(tmp_path).read_bytes()
    path_of(tmp_path).write_bytes(content.replace(b"78541.7", b"18541.7"))
    sentence = f"The recorded liquidations of BTCUSDT of {DAY} are damaged; they are left out."
    with pytest.raises(DataError, match=sentence):
        read(tmp_path)
    append(tmp_path, SHORT)
    (aside,) = files_aside(tmp_path, path_of(tmp_path))
    assert b"18541.7" in aside.read_bytes()
    with pytest.raises(DataError, match=sentence):  # what follows is not the whole day
        read(tmp_path)
    aside.unlink()
    assert read(tmp_path) == [SHORT]


def test_table_that_cannot_be_read_is_not_taken_for_an_empty_one(tmp_path: Path):
    path_of(tmp_path).mkdir(parents=True)
    with pytest.raises(UnreadableStore):
        read(tmp_path)
    with pytest.raises(OSError, match="directory"):
        append(tmp_path, LONG)


def test_full_disk_is_an_os_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    append(tmp_path, LONG)
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            append(tmp_path, SHORT)
    assert read(tmp_path) == [LONG]
    assert {each.name for each in path_of(tmp_path).parent.iterdir()} == {"lock", path_of(tmp_path).name}


def test_liquidations_that_two_recorders_add_at_once_are_both_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    append(tmp_path, LONG)
    with begun_at(monkeypatch, tables, "replace_file", lambda: append(tmp_path, LONG)) as other:
        monkeypatch.setattr("liqmap.store.liquidations.locked", other.watch(locked))
        append(tmp_path, SHORT)
    assert sorted(read(tmp_path), key=str) == sorted([LONG, SHORT, LONG], key=str)
