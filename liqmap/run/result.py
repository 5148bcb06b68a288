"""The result of a request: pictures and numbers, as files, as tables, and in notebooks."""

from __future__ import annotations

from base64 import b64encode
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from liqmap.errors import RequestError
from liqmap.files import file_stem, write_file
from liqmap.model import Picture
from liqmap.text import (
    asked_words,
    coverage_text,
    exchanges_text,
    last_price_text,
    margin_text,
    price_step,
    standing_text,
    unswept_text,
    window_text,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pyarrow as pa

    from liqmap.model import Coverage, Exchange, MapRequest, MapSummary, Market


@dataclass(frozen=True, slots=True)
class MapResult:
    """What was drawn: a PNG image for each requested picture, the numbers beside them, and the timings [ms].

    `pictures` are in the order in which an answer shows them. The methods return Arrow tables if the request
    has `tables`; `.to_pandas()` makes a frame of each. They raise RequestError if it has not.
    """

    request: MapRequest
    pictures: Mapping[Picture, bytes] = field(repr=False)
    summary: MapSummary
    coverage: Coverage
    timings_ms: Mapping[str, float]
    levels_csv: bytes | None = field(default=None, repr=False)
    tables: Mapping[str, pa.Table] = field(default_factory=dict, repr=False)

    def save(self, folder: Path | str) -> dict[str, Path]:
        """Write the pictures and the CSV into `folder`, made if need be; return their paths by name.

        The names are those of the pictures, and csv. Raises RequestError if a file cannot be written.
        """
        # As in py-liquidation-map, the map's picture gets no ending.
        contents = {
            picture.value: ("" if picture is Picture.MAP else f"_{picture}", ".png", png)
            for picture, png in self.pictures.items()
        }
        if self.levels_csv is not None:
            contents["csv"] = ("", ".csv", self.levels_csv)
        paths = {}
        for name, (ending, suffix, content) in contents.items():
            paths[name] = Path(folder) / f"{file_stem(self.request)}{ending}{suffix}"
            write_file(paths[name], content)
        return paths

    def levels(self) -> pa.Table:
        """Return every level of the selected trades, standing or swept: one row a trade and leverage.

        Columns: side (of the trade: a buy opens a long), leverage, entry_time (timestamp[ms, UTC]),
        entry_price and level (quote currency), notional (quote currency, the part of the trade that counts
        at this leverage), state (standing or swept).
        """
        return self._table("levels")

    def buckets(self) -> pa.Table:
        """Return the standing notional by price: one row a bucket and leverage, prices ascending.

        Columns: low, high (quote currency; the bucket is [low, high)), leverage, long and short (standing
        notional, quote currency).
        """
        return self._table("buckets")

    def path(self) -> pa.Table:
        """Return the price path, one row a bin that traded.

        Columns: time (timestamp[ms, UTC], the bin's start), low, high and close (quote currency).
        """
        return self._table("path")

    def clusters(self) -> pa.Table:
        """Return the clusters, longs' before shorts', each side's nearest first.

        Columns: side (of the trades: buys opened longs), low, high and price (quote currency), distance and
        near (of the price and of the nearest level from the last price, relative), notional (quote
        currency), is_largest, is_nearest_large, is_nearest_small. Levels are summed in fine buckets, about
        ten thousand over all prices that a level may have: price, distance and near are exact to one.
        """
        return self._table("clusters")

    def heatmap(self) -> pa.Table:
        """Return the heatmap's cells in which something stands, by time and price.

        Columns: time (timestamp[ms, UTC], start of the column's bin), low, high (quote currency), notional
        (quote currency, standing at the end of the bin). The request has to have that picture too.
        """
        return self._table("heatmap")

    @property
    def markets(self) -> tuple[Market, ...]:
        """The markets in the map, the one whose prices are drawn first; those left out are not among them."""
        return tuple(each.market for each in self.summary.by_market) or self.request.markets

    @property
    def coverages(self) -> Mapping[Exchange, Coverage]:
        """The coverage of each exchange in the map."""
        # Empty for a map of one exchange, whose summary is not divided.
        own = {each.market.exchange: each.coverage for each in self.summary.by_market}
        return own or {self.request.market.exchange: self.coverage}

    def _repr_png_(self) -> bytes:
        return next(iter(self.pictures.values()))

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the numbers in words, and the pictures below them."""
        rows = "".join(
            f"<tr><th>{escape(name)}</th><td>{escape(text)}</td></tr>" for name, text in self._rows()
        )
        images = "".join(
            # The images are inside the page, so that a notebook still shows them on another machine.
            f'<img alt="{picture} of {self.markets[0].symbol}" style="max-width:100%"'
            f' src="data:image/png;base64,{b64encode(png).decode()}">'
            for picture, png in self.pictures.items()
        )
        return f"<table>{rows}</table>{images}"

    def _rows(self) -> Iterator[tuple[str, str]]:
        request, summary = self.request, self.summary
        step = price_step(summary.last_price, bucket_size=summary.bucket_size)
        exchange = exchanges_text(self.markets)
        simulated = ", SIMULATED DATA" if self.coverage.simulated else ""
        yield (
            "market",
            f"{self.markets[0].symbol} on {exchange}, {', '.join(asked_words(request))}{simulated}",
        )
        yield "window", window_text(request.window)
        yield "data", coverage_text(self.coverage)
        unswept = unswept_text(self.coverages, summary.margin.sweep)
        if unswept is not None:
            yield "note", unswept
        yield "last price", last_price_text(summary.last_price, self.coverage, step=step)
        longs, shorts = (
            (summary.nearest_long, summary.largest_long),
            (summary.nearest_short, summary.largest_short),
        )
        yield "longs below", standing_text(summary.standing_long, *longs, step=step)
        yield "shorts above", standing_text(summary.standing_short, *shorts, step=step)
        yield "margin", f"Estimated from trades by the {margin_text(summary.margin)}."

    def _table(self, name: str) -> pa.Table:
        if not self.request.tables:
            raise RequestError("The request has no tables; add tables=True to it.")
        if name not in self.tables:
            raise RequestError("The request has no heatmap; add Picture.HEATMAP to its pictures.")
        return self.tables[name]
