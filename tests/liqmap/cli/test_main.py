from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from liqmap.cli import map as map_command
from liqmap.cli.main import main
from liqmap.simulator import Fault, MarketServer

END = ["--end", "2023-08-01 06:00"]
STEM = "BTCUSDT_2023-08-01_00-00-00-2023-08-01_06-00-00"


@pytest.mark.parametrize(
    ("words", "stem"),
    [
        (["top_n", "100"], f"{STEM}_top_n_100"),
        (["gross_value", "2.5k"], f"{STEM}_gross_value_2500"),
        (["portion", "1%", "--exchange", "bybit"], f"{STEM}_portion_0.01_bybit"),
    ],
)
def test_pictures_are_written_and_named_in_the_output(
    words: list[str], stem: str, config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    out = tmp_path / "out"
    assert main(["btc", "6h", *words, *END, "--config", str(config), "--out", str(out)]) == 0
    assert sorted(path.name for path in out.iterdir()) == [f"{stem}.png", f"{stem}_depth.png"]
    reported = capsys.readouterr()
    assert reported.err == ""
    lines = reported.out.splitlines()
    assert lines[0].startswith("BTCUSDT on B")
    assert lines[1] == "  symbol        BTC: BTCUSDT"
    assert lines[0].endswith("SIMULATED DATA")
    assert f"  map           {out / stem}.png" in lines
    bands = [line[2:14] for line in lines if line.startswith("  within")]
    assert bands == ["within 1 %  ", "within 2 %  ", "within 5 %  "]
    dated = "2026-09-01, the earliest known" if "bybit" in words else "2023-08-01"
    assert f"brackets of {dated}, swept by mark price; not financial advice." in lines[-1]


def test_console_without_arrows_gets_ascii(config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii", write_through=True))
    assert main(["btc", "6h", *END, "--config", str(config), "--out", str(tmp_path)]) == 0
    assert b"  window        2023-08-01 00:00 -> 06:00 UTC\n" in written.getvalue()


def test_json_is_one_object_with_every_number(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    arguments = ["BTCUSDT", "6h", "top_n", "100", *END, "--config", str(config), "--json", "--csv"]
    options = ["--leverages", "10:35,25:30,100:35", "--levels", "standing", "--theme", "light"]
    assert main([*arguments, *options, "--out", str(tmp_path)]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["request"] == {
        "typed": "BTCUSDT",
        "exchange": "binance",
        "symbol": "BTCUSDT",
        "markets": [{"exchange": "binance", "symbol": "BTCUSDT"}],
        "start": "2023-08-01T00:00:00+00:00",
        "end": "2023-08-01T06:00:00+00:00",
        "mode": "top_n",
        "value": 100,
        "model": "binance",
        "leverages": [10, 25, 100],
        "weights": [35, 30, 35],
        "levels": "standing",
        "theme": "light",
        "each": False,
        "merge": False,
    }
    assert report["selected"] == {"buy": 100, "sell": 100}
    assert report["coverage"] == {
        "fraction": 1.0,
        "missing": [],
        "lost_ids": 0,
        "zero_sizes": 0,
        "unverified": 0,
        "differing": 0,
        "sources": ["Binance USD-M daily files"],
        "last_trade": "2023-08-01T05:59:51+00:00",
        "whole_end": None,
        "simulated": True,
    }
    assert report["trades"] > 200
    assert report["last_price"] > 0
    assert min(report["standing_notional"].values()) > 0
    assert list(report["timings_ms"]) == ["collect", "load", "compute", "map", "depth", "tables", "total"]
    assert set(report["files"]) == {"map", "depth", "csv"}
    levels = pd.read_csv(report["files"]["csv"])
    assert list(levels) == ["side", "leverage", "entry_time", "entry_price", "level", "notional", "state"]
    selected = sum(report["selected_notional"].values())
    assert levels["notional"].sum() + report["unplaced_notional"] == pytest.approx(selected)
    sums = levels.groupby(["state", "side"])["notional"].sum()
    for state in ("standing", "swept"):
        for side, position in (("buy", "long"), ("sell", "short")):
            assert sums.get((state, side), 0.0) == pytest.approx(report[f"{state}_notional"][position])
    assert report["margin"]["model"] == "binance"
    assert report["margin"]["brackets"] == "2023-08-01"
    assert [band["distance"] for band in report["bands"]] == [0.01, 0.02, 0.05]
    assert report["clusters"]["nearest_long"]["distance"] < 0


def test_every_option_reaches_the_request(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    arguments = ["BTCUSD", "6h", *END, "--config", str(config), "--out", str(tmp_path / "out"), "--heatmap"]
    options = ["--model", "simple", "--leverages", "5,20", "--levels", "all", "--theme", "light"]
    assert main([*arguments, *options]) == 0
    reported = capsys.readouterr().out
    names = sorted(path.name.removeprefix("BTCUSD_PERP") for path in (tmp_path / "out").iterdir())
    ending = STEM.removeprefix("BTCUSDT") + "_top_n_100_simple_5x_20x_all-levels_light"
    assert names == [f"{ending}.png", f"{ending}_depth.png", f"{ending}_heatmap.png"]
    assert "by the simple model; not financial advice" in reported
    assert "\n  heatmap       " in reported


def test_mistyped_symbol_is_answered_with_similar_names(config: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["BTCUSTD", "6h", "--simulated", "--config", str(config)]) == 1
    reported = capsys.readouterr().err
    assert reported == "Binance lists no “BTCUSTD”; did you mean BTCUSDT?\n"


def test_sources_and_gaps_are_printed_separately(
    config: Path, tmp_path: Path, market_server: MarketServer, capsys: pytest.CaptureFixture[str]
):
    market_server.plan("2023-07-31", Fault.NOT_FOUND, times=100)
    assert main(["BTCUSDT", "2d", *END, "--config", str(config), "--out", str(tmp_path)]) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("  data")]
    assert line.startswith("  data          50 % covered, missing Jul 31 00:00–Aug 01 00:00 (")
    assert line.endswith(") · Binance USD-M daily files")


def test_price_that_is_hours_old_is_printed_with_its_time(
    config: Path, tmp_path: Path, market_server: MarketServer, capsys: pytest.CaptureFixture[str]
):
    market_server.plan("2023-08-01", Fault.NOT_FOUND, times=100)
    assert main(["BTCUSDT", "2d", *END, "--config", str(config), "--out", str(tmp_path)]) == 0
    rows = {line[:15].strip(): line for line in capsys.readouterr().out.splitlines()}
    assert rows["last price"].endswith(" at 00:00 UTC")
    assert "Older levels may have been swept in the gap Aug 01 00:00–06:00 UTC" in rows["note"]


def test_missing_day_is_reported_with_its_reason(
    config: Path, tmp_path: Path, market_server: MarketServer, capsys: pytest.CaptureFixture[str]
):
    market_server.plan("2023-07-31", Fault.NOT_FOUND, times=100)
    arguments = ["BTCUSDT", "2d", *END, "--config", str(config), "--json", "--out", str(tmp_path)]
    assert main(arguments) == 0
    coverage = json.loads(capsys.readouterr().out)["coverage"]
    assert coverage["fraction"] == pytest.approx(0.5)
    (gap,) = coverage["missing"]
    assert (gap["start"], gap["end"]) == ("2023-07-31T00:00:00+00:00", "2023-08-01T00:00:00+00:00")
    assert gap["reason"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["BTC USDT!", "6h"], "“BTC USDT!” is not a symbol; try BTCUSDT.\n"),
        (["BTCUSDT", "six"], "The window “six” is not a length of time; try 6h, 90m or 7d.\n"),
        (["BTCUSDT", "6h", "best"], "“best” is not a mode; try top_n, gross_value or portion.\n"),
        (["BTCUSDT", "6h", "top_n", "1.5"], "top_n takes a whole number of trades, not “1.5”; try 100.\n"),
        (["BTCUSDT", "6h", "--end", "2999-01-01"], "lies in the future; leave it out to end now (UTC).\n"),
        (["BTCUSDT", "6h", "100k"], "needs its mode before it, such as top_n 100 or gross_value 100k.\n"),
        (["BTCUSDT", "6h", "--model", "best"], "The model “best” is not known; try "),
        (["BTCUSDT", "6h", "--leverages", "500"], "Leverages go from 2 to 150, such as 10,25,50,100.\n"),
        (["BTCUSDT", "6h", "top_n", "0"], "top_n takes a whole number from 1 to 1,000,000"),
        (["BTCUSDT", "1000d"], "The window is longer than 90 days"),
        (["BTCUSDT", "6h", "--config", "nowhere.toml"], "The settings file nowhere.toml cannot be read"),
    ],
)
def test_wrong_argument_prints_one_sentence_and_exits_with_2(
    arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
):
    assert main(arguments) == 2
    reported = capsys.readouterr()
    assert reported.out == ""
    assert sentence in reported.err
    assert reported.err.count("\n") == 1


def test_names_are_understood_in_capitals_too(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    arguments = ["BTCUSDT", "6h", *END, "--config", str(config), "--out", str(tmp_path / "out")]
    assert main([*arguments, "--exchange", "Bybit", "--theme", "LIGHT"]) == 0
    assert capsys.readouterr().out.startswith("BTCUSDT on Bybit")
    assert (tmp_path / "out" / f"{STEM}_top_n_100_bybit_light.png").exists()


def test_unknown_exchange_is_refused_with_those_that_are_known(capsys: pytest.CaptureFixture[str]):
    assert main(["BTCUSDT", "6h", "--exchange", "ftx"]) == 2
    assert "try binance, bybit or okx" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["record", "BTCUSDT", "--exchange", "ftx"])
    reported = capsys.readouterr().err
    assert "argument --exchange: invalid choice: 'ftx' (choose from " in reported
    assert all(each in reported.splitlines()[-1] for each in ("binance", "bybit", "okx"))


def test_help_names_the_defaults(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        main(["--help"])
    reported = capsys.readouterr().out
    for each in ("(default: binance)", "(default: dark)"):
        assert each in reported


@pytest.mark.parametrize("arguments", [[], ["BTCUSDT"], ["BTCUSDT", "6h", "--theme", "red"]])
def test_wrong_usage_exits_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 2
    assert "usage: liqmap" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "fault", "sentence"),
    [
        (["NOPEUSDT", "6h"], None, "Binance"),
        (["BTCUSDT", "6h"], Fault.FORBIDDEN, "refuses this network"),
        (["BTCUSDT", "6h"], Fault.BANNED, "try again in"),
        (["BTCUSDT", "6h"], Fault.HTML, "BTCUSDT-aggTrades-2023-08-01.zip"),
        (["BTCUSDT", "6h", "gross_value", "1b"], None, "Try gross_value"),
    ],
)
def test_network_failure_prints_one_sentence_and_leaves_no_file(
    words: list[str],
    fault: Fault | None,
    sentence: str,
    config: Path,
    tmp_path: Path,
    market_server: MarketServer,
    capsys: pytest.CaptureFixture[str],
):
    if fault:
        market_server.plan(r"\.zip$", fault, times=100)
    out = tmp_path / "out"
    assert main([*words, *END, "--config", str(config), "--out", str(out)]) == 1
    reported = capsys.readouterr().err
    assert sentence in reported
    assert reported.count("\n") == 1
    assert list(out.iterdir()) == []


def test_unwritable_folder_is_reported_before_drawing(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(map_command, "Engine", None)
    (tmp_path / "out").write_bytes(b"")
    assert main(["BTCUSDT", "6h", *END, "--config", str(config), "--out", str(tmp_path / "out")]) == 1
    assert f"into the folder {tmp_path / 'out'} (File exists); choose another" in capsys.readouterr().err


def test_progress_shows_on_a_terminal_only(config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert main(["BTCUSDT", "6h", *END, "--config", str(config), "--out", str(tmp_path)]) == 0
    shown = [frame.strip() for frame in terminal.getvalue().split("\r") if frame.strip()]
    assert shown[0].startswith("Looking up BTCUSDT …")
    assert shown[1].startswith("Fetching 1 day of BTCUSDT from Binance …")
    assert "%" in shown[2]
    assert shown[-1].startswith("Drawing …")
    assert "?" not in terminal.getvalue()


def test_interrupt_ends_quietly_with_130(monkeypatch: pytest.MonkeyPatch):
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(map_command, "_request", interrupted)
    assert main(["BTCUSDT", "6h"]) == 130


def test_module_runs_on_the_simulated_market(tmp_path: Path):
    """The one run as a process: the way a person starts it, with the engine's own worker processes."""
    command = [
        sys.executable,
        "-m",
        "liqmap",
        "DOGEUSDT",
        "6h",
        "top_n",
        "100",
        *END,
        "--simulated",
        "--json",
    ]
    done = subprocess.run(  # noqa: S603 - our own command
        [*command, "--out", "out"],
        cwd=tmp_path,
        env={"LIQMAP__STORAGE__PATH": str(tmp_path / "store")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    report = json.loads(done.stdout)
    assert report["trades"] > 20_000
    assert (tmp_path / report["files"]["map"]).read_bytes().startswith(b"\x89PNG")
