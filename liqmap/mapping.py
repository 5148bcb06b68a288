"""The Python API of py-liquidation-map: its README's examples run unchanged, over this engine."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from liqmap.errors import RequestError
from liqmap.files import write_file
from liqmap.model import (
    GrossValue,
    LevelFilter,
    MapRequest,
    MarginModel,
    Market,
    Mode,
    Picture,
    Portion,
    Selection,
    TopN,
)
from liqmap.model.window import TimeWindow
from liqmap.parsing import parse_exchange, parse_mode, parse_symbol
from liqmap.run.calls import draw_for_script, in_own_loop
from liqmap.settings import load_settings

if TYPE_CHECKING:
    from liqmap.run.result import MapResult


class HistoricalMapping:
    """Liquidation maps of one symbol over one historical window (UTC, half-open)."""

    def __init__(self, symbol: str, start_datetime: str, end_datetime: str, exchange: str) -> None:
        """Set what to map; times are UTC, such as `2023-08-01 06:00:00`. Raises RequestError."""
        self._market = Market(parse_exchange(exchange), parse_symbol(symbol))
        self._window = TimeWindow(_moment(start_datetime), _moment(end_datetime))
        spans = (text.replace(" ", "_").replace(":", "-") for text in (start_datetime, end_datetime))
        self._span = "-".join(spans)

    def liquidation_map_from_historical(
        self,
        mode: str = "gross_value",
        threshold_gross_value: float = 100_000,
        threshold_top_n: int = 100,
        threshold_portion: float = 0.01,
    ) -> None:
        """Draw the map into the working directory, with the levels of each leverage and side as CSV.

        `mode` says which threshold counts: "gross_value", "top_n" or "portion". Raises LiqmapError.
        """
        selection, value = _selected(mode, threshold_gross_value, threshold_top_n, threshold_portion)
        result = self._draw(selection, Picture.MAP)
        self._save(result, Picture.MAP, f"{self._span}_{selection.mode}_{value}")

    def liquidation_map_depth_from_historical(
        self,
        mode: str = "gross_value",
        threshold_gross_value: float = 100_000,
        threshold_top_n: int = 100,
        threshold_portion: float = 0.01,
    ) -> None:
        """Draw the depth into the working directory, with the levels of each leverage and side as CSV.

        `mode` says which threshold counts: "gross_value", "top_n" or "portion". Raises LiqmapError.
        """
        selection, value = _selected(mode, threshold_gross_value, threshold_top_n, threshold_portion)
        result = self._draw(selection, Picture.DEPTH)
        self._save(result, Picture.DEPTH, f"{self._span}_{selection.mode}_{value}_depth")

    def _draw(self, selection: Selection, picture: Picture) -> MapResult:
        # As py-liquidation-map draws: its margin model, each trade in full at every leverage, nothing swept.
        request = MapRequest(
            (self._market,),
            self._window,
            selection,
            model=MarginModel.SIMPLE,
            levels=LevelFilter.ALL,
            pictures=frozenset({picture}),
            levels_csv=True,
        )
        symbol, settings = self._market.symbol, load_settings()
        return in_own_loop(lambda: draw_for_script(request, settings, typed=symbol))

    def _save(self, result: MapResult, picture: Picture, ending: str) -> None:
        stem = f"{result.request.market.symbol}_{ending}"
        write_file(Path(f"{stem}.png"), result.pictures[picture])
        # Read as text, so that the numbers are written again with the same digits.
        levels = pd.read_csv(io.BytesIO(result.levels_csv or b""), dtype={"level": str, "notional": str})
        for side in ("buy", "sell"):
            for leverage in result.request.leverages:
                rows = levels[(levels["side"] == side) & (levels["leverage"] == leverage)]
                table = rows[["level", "notional"]].set_axis(["price", "amount"], axis="columns")
                csv = table.reset_index(drop=True).to_csv()
                write_file(Path(f"{stem}_{leverage}x_Leveraged_{side}.csv"), csv.encode())


def _selected(mode: str, gross_value: float, top_n: int, portion: float) -> tuple[Selection, float]:
    match parse_mode(mode):
        case Mode.GROSS_VALUE:
            return GrossValue(gross_value), gross_value
        case Mode.TOP_N:
            return TopN(top_n), top_n
        case Mode.PORTION:
            return Portion(portion), portion


def _moment(text: str) -> datetime:
    try:
        return datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    except ValueError:
        raise RequestError(f"The time {text!r:.40} is not written as 2023-08-01 06:00:00.") from None
