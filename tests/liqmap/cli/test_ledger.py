from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from liqmap.cli.main import main
from liqmap.render.style import HEIGHT, WIDTH
from tests.accuracy.worlds import World, written


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "ten days.jsonl"
    written(World(0.5, seed=1), 10, path)
    return path


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    code = main(["ledger", *words])
    reported = capsys.readouterr()
    return code, reported.out + reported.err


def test_a_ledger_of_ten_days_is_verified_and_reported(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    code, reported = run(capsys, "verify", "--file", str(path))
    assert code == 0
    assert reported.startswith("All 121 lines of ")
    picture = tmp_path / "accuracy.png"
    code, reported = run(capsys, "report", "--file", str(path), "--out", str(picture))
    assert code == 0
    assert reported.startswith(
        "Simulated data. Being measured since 2026-01-01: 10 of 90 days. No verdict yet.\n"
    )
    assert "30 scored, 30 before there was a baseline; 10 days" in reported
    with Image.open(picture) as image:
        assert image.size == (WIDTH, HEIGHT)


def test_a_changed_byte_is_found_and_its_line_named(path: Path, capsys: pytest.CaptureFixture[str]):
    lines = path.read_bytes().splitlines(keepends=True)
    lines[57] = lines[57].replace(b'"price":5', b'"price":4')  # a seal
    path.write_bytes(b"".join(lines))
    sentence = "Line 58 of ten days.jsonl is not as it was written; what follows it cannot be trusted.\n"
    for command in ("verify", "report"):
        assert run(capsys, command, "--file", str(path)) == (1, sentence)


def test_a_ledger_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    code, reported = run(capsys, "verify", "--file", str(tmp_path / "none.jsonl"))
    assert (code, reported.startswith("There is no ledger ")) == (1, True)
    assert run(capsys, "report", "--file", str(tmp_path / "none.jsonl"))[1].startswith(
        "Nothing is sealed yet."
    )


@pytest.mark.parametrize(
    ("typed", "completion"), [("btc", "BTC: BTCUSDT\n"), ("btc/usdt", ""), ("BTCUSDT", "")]
)
def test_symbol_of_a_report_is_completed_and_that_is_reported(
    path: Path, capsys: pytest.CaptureFixture[str], typed: str, completion: str
):
    code, reported = run(capsys, "report", "--file", str(path), "--symbol", typed)
    assert (code, reported.startswith(f"{completion}Simulated data. Being measured")) == (0, True)


@pytest.mark.parametrize("typed", ["ETH", "BTCUSD", "BT", "BTCUSDC"])
def test_report_of_another_symbol_than_those_sealed_is_refused(
    path: Path, capsys: pytest.CaptureFixture[str], typed: str
):
    sentence = f"No map of {typed} is sealed; try BTCUSDT.\n"
    assert run(capsys, "report", "--file", str(path), "--symbol", typed) == (1, sentence)


def test_a_simulated_map_is_sealed_scored_and_verified(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    config = tmp_path / "liqmap.toml"
    config.write_text(f'storage.path = "{tmp_path / "store"}"\n')
    common = ("--simulated", "--config", str(config))
    code, reported = run(capsys, "seal", "btcusd", "--end", "2023-08-02 08:00", *common)
    assert code == 0
    assert reported.startswith(
        "BTCUSD: BTCUSD_PERP on Binance\nsealed  BTCUSD_PERP at 2023-08-02 08:00 UTC, 10 zones marked\n"
    )
    code, reported = run(capsys, "score", *common)
    assert (code, "warming, " in reported) == (0, True)
    code, reported = run(capsys, "verify", *common)
    assert (code, reported.startswith("All 3 lines of ")) == (0, True)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("seal", "BTCUSD_PERP", "--end", "2023-08-02 09:00", "--simulated"), "00:00, 08:00 and 16:00 UTC"),
        (("backtest", "BTCUSD_PERP", "yesterday", "2023-08-02"), "'yesterday' is not a day"),
        (("backtest", "BTCUSD_PERP", "2023-08-02", "2023-07-30"), "its start must lie before its end"),
    ],
)
def test_what_cannot_be_done_is_reported_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], named: str
):
    config = tmp_path / "liqmap.toml"
    config.write_text(f'storage.path = "{tmp_path / "store"}"\n')
    code, reported = run(capsys, *words, "--config", str(config))
    assert (code, named in reported) == (1, True)
