from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from liqmap.cli.main import main
from liqmap.live.registry import Recording, Recordings
from liqmap.model import Exchange

END = "2023-08-02 00:00"
NOW = datetime(2023, 8, 2, tzinfo=UTC)


def scan(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(["scan", *words])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_scan_of_named_markets_reports_what_each_map_says(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    words = ("BTCUSDT", "eth", "nope", "--exchange", "binance", "--within", "100%", "--end", END)
    shared = ("--config", str(config), "--out", str(tmp_path))
    code, out, err = scan(capsys, *words, *shared, "--json")
    assert "ETH: ETHUSDT on Binance\n" in err
    report = json.loads(out)
    assert code == 0
    assert report["simulated"]
    assert report["scanned"] == 2
    assert {each["symbol"] for each in report["markets"]} == {"BTCUSDT", "ETHUSDT"}
    assert [each["symbol"] for each in report["failed"]] == ["NOPE"]
    assert Path(report["file"]).read_bytes().startswith(b"\x89PNG")
    assert main(["BTCUSDT", "24h", "top_n", "100", "--end", END, *shared, "--json"]) == 0
    drawn = json.loads(capsys.readouterr().out)
    (found,) = [each for each in report["markets"] if each["symbol"] == "BTCUSDT"]
    assert found["last_price"] == drawn["last_price"]
    for side in ("long", "short"):
        cluster = drawn["clusters"][f"nearest_{side}"]
        if cluster is not None:
            assert {key: found[side][key] for key in ("price", "distance", "notional")} == {
                key: cluster[key] for key in ("price", "distance", "notional")
            }
    nearest = [
        min(abs(each[side]["distance"]) for side in ("long", "short") if each[side])
        for each in report["markets"]
    ]
    assert nearest == sorted(nearest)


def test_market_priced_in_bitcoin_is_not_ranked_among_dollars(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    shared = ("--config", str(config), "--out", str(tmp_path), "--end", END)
    report = json.loads(scan(capsys, "BTCUSDT", "ETHBTC", "--exchange", "binance", *shared, "--json")[1])
    assert report["scanned"] == 1
    (failed,) = report["failed"]
    assert failed["symbol"] == "ETHBTC"
    assert "cannot be compared with dollars" in json.dumps(failed)


def test_scan_without_names_looks_at_what_is_recorded(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    shared = ("--config", str(config), "--end", END)
    code, out, err = scan(capsys, *shared)
    assert (code, out) == (1, "")
    assert "No market has been recorded" in err
    assert main(["SOLUSDT", "24h", *shared, "--out", str(tmp_path)]) == 0
    capsys.readouterr()
    assert scan(capsys, *shared)[0] == 1  # stored, but never recorded
    Recordings(tmp_path / "store").write(Recording(Exchange.BINANCE, "SOLUSDT", NOW, NOW))
    code, out, _ = scan(capsys, *shared, "--within", "100%")
    assert code == 0
    assert "SOLUSDT on Binance" in out
    assert scan(capsys, *shared, "--exchange", "bybit")[0] == 1


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--within", "much"), "The distance is a share of the price"),
        (("--top", "0"), "from 1 to 50"),
        (("--side", "buy"), "“long” or “short”"),
        (("--end", "soon"), "is not a time"),
        (("BTC!",), "symbol"),
    ],
)
def test_wrong_arguments_of_a_scan_are_refused_in_a_sentence(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], sentence: str
):
    code, out, err = scan(capsys, *words)
    assert (code, out) == (2, "")
    assert sentence in err
    assert err.count("\n") == 1
