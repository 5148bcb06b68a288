from __future__ import annotations

import errno
import os
from datetime import date, timedelta
from pathlib import Path

import pytest

from liqmap.cli.main import main
from liqmap.errors import DataError
from liqmap.model import Exchange
from liqmap.model.window import TimeWindow
from liqmap.store.segments import Origin, Segment, segment_path
from liqmap.store.writer import write_segment
from liqmap.text.status import clock_text
from tests.liqmap.conftest import DAY, random_trades

RIGHT = "This machine's clock agrees with that of Binance, Bybit and OKX."
SEGMENT = "The segment of Bybit BTCUSDT, 2023-08-01 (UTC day),"


@pytest.fixture
def segment(tmp_path: Path) -> Segment:
    origin = Origin(Exchange.BYBIT, "BTCUSDT", TimeWindow.of_day(DAY), "https://example.org", "")
    path = segment_path(tmp_path / "store", origin.exchange, origin.symbol, origin.window)
    return write_segment(path, origin, random_trades(20), incoming=tmp_path / "store" / "incoming")


@pytest.fixture(autouse=True)
def clocks(monkeypatch: pytest.MonkeyPatch) -> dict[Exchange, str | DataError]:
    """Return what is wrong with this machine's clock by each exchange's, or what keeps it unknown."""
    found: dict[Exchange, str | DataError] = {}

    async def clock_problem(_: object, exchange: Exchange) -> str | None:
        outcome = found.get(exchange)
        if isinstance(outcome, DataError):
            raise outcome
        return outcome

    monkeypatch.setattr("liqmap.cli.check.clock_problem", clock_problem)
    return found


def check(folder: Path, *words: str) -> int:
    (folder / "liqmap.toml").write_text(f'storage.path = "{folder / "store"}"\n')
    return main(["check", *words, "--config", str(folder / "liqmap.toml")])


@pytest.mark.usefixtures("segment")
def test_store_as_it_was_written_has_no_problem(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert check(tmp_path, "--deep") == 0
    assert capsys.readouterr().out == f"Checked 1 segment or file: all as written.\n{RIGHT}\n"


def test_store_that_is_not_there_has_no_problem(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert check(tmp_path) == 0
    assert capsys.readouterr().out == f"Checked 0 segments and files: all as written.\n{RIGHT}\n"


def test_clock_that_is_wrong_is_a_problem_and_one_that_is_unknown_is_not(
    tmp_path: Path, clocks: dict[Exchange, str | DataError], capsys: pytest.CaptureFixture[str]
):
    clocks[Exchange.OKX] = DataError("OKX cannot be reached.")
    assert check(tmp_path) == 0
    assert capsys.readouterr().out.splitlines()[1:] == [
        "This machine's clock agrees with that of Binance and Bybit.",
        "This machine's clock could not be compared with that of OKX; check the network.",
    ]
    clocks[Exchange.BINANCE] = clock_text(Exchange.BINANCE, timedelta(hours=3))
    assert check(tmp_path) == 1
    assert capsys.readouterr().out.splitlines()[1] == (
        "This machine's clock is about 3 h ahead of Binance's; set it, for example with NTP."
    )


def test_damage_of_unchanged_size_is_found_by_a_deep_check_alone(
    tmp_path: Path, segment: Segment, capsys: pytest.CaptureFixture[str]
):
    table = segment.path / "buy.arrow"
    content = table.read_bytes()
    table.write_bytes(content[:-500] + bytes(100) + content[-400:])
    assert check(tmp_path) == 0
    capsys.readouterr()
    assert check(tmp_path, "--deep") == 1
    first, *rest = capsys.readouterr().out.splitlines()
    assert first.startswith(f"{SEGMENT} is damaged: buy.arrow has another checksum, bytes ")
    assert rest[0] == "Checked 1 segment or file: 1 with a problem."


def test_every_other_problem_is_a_sentence_too(
    tmp_path: Path, segment: Segment, capsys: pytest.CaptureFixture[str]
):
    store = tmp_path / "store"
    (segment.path / "sell.arrow").unlink()
    for name, content in {
        "listings/binance.json": b"{",
        f"brackets/binance-{date(2026, 9, 1)}.txt": b"BTCUSDT 1,2,3\n",
        "liquidations/bybit/BTCUSDT/2023-08-01.csv": b"# xxh3: 0123456789abcdef\n",
        "liquidations/bybit/ETHUSDT/2023-08-01.feed": b"1690848000000,1690848000000\n",
        "contracts/okx.json": b'{"xxh3": "0123456789abcdef", "contracts": {}}',
        "ledger/1.0.0-ab12.jsonl": b'{"kind": "begin"}\n',
        "series/bybit/BTCUSDT/open_interest/notes.arrow": b"",
        "recordings/bybit/BTCUSDT.json": b'{"since": 1}',
    }.items():
        (store / name).parent.mkdir(parents=True)
        (store / name).write_bytes(content)
    (store / "damaged" / "bybit" / "ETHUSDT" / f"{segment.path.name}.0a1b2c3d").mkdir(parents=True)
    assert check(tmp_path) == 1
    *problems, count, _, aside, clock = capsys.readouterr().out.splitlines()
    assert clock == RIGHT
    assert count == "Checked 9 segments and files: 8 with a problem."
    assert aside.startswith("1 damaged file is set aside")
    assert f"{SEGMENT} is damaged: sell.arrow is missing." in problems
    assert "The file listings/binance.json is damaged: wrong checksum." in problems
    assert (
        "The file series/bybit/BTCUSDT/open_interest/notes.arrow is none of a store; remove it." in problems
    )
    assert "The bracket table binance-2026-09-01.txt cannot be read; fetch it again." in problems
    assert (
        "Line 1 of 1.0.0-ab12.jsonl is not as it was written; what follows it cannot be trusted." in problems
    )
    assert all(problem.endswith(".") for problem in problems)


@pytest.mark.parametrize("words", [("check", "--deep"), ("status",), ("BTCUSDT", "6h", "top_n", "10")])
@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES, errno.EMFILE])
def test_folder_that_cannot_be_listed_is_a_sentence_and_never_an_empty_one(
    tmp_path: Path,
    segment: Segment,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    words: tuple[str, ...],
    number: int,
):
    config = tmp_path / "liqmap.toml"
    config.write_text(f'storage.path = "{tmp_path / "store"}"\n')

    def failing(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "listdir", failing)
    monkeypatch.setattr(os, "scandir", failing)
    assert main([*words, "--config", str(config)]) == 1
    out, err = capsys.readouterr()
    assert os.strerror(number) in out + err
    assert "Traceback" not in out + err
    assert segment.path.is_dir()
