"""Fetch Bybit's risk limits as they are now, and keep them as a table of today in the store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from liqmap.brackets import table_name
from liqmap.compute.margin import Brackets
from liqmap.errors import DataError
from liqmap.files import write_file
from liqmap.model import Exchange

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable
    from datetime import date
    from pathlib import Path

    from liqmap.net.rest import RestClient
    from liqmap.settings import Settings

CATEGORIES: Final = ("linear", "inverse")

Tiers = dict[str, list[tuple[float, float, float]]]


async def refresh_bybit(client: RestClient, settings: Settings, *, today: date) -> Path:
    """Fetch all risk limits and return the path of the table that they make.

    Source: GET /v5/market/risk-limit, public, a few symbols a page (bybit-exchange/docs). A row:
    {"id": 1, "symbol": "BTCUSDT", "riskLimitValue": "2000000", "maintenanceMargin": "0.005",
    "initialMargin": "0.01", "isLowestRisk": 1, "maxLeverage": "100.00", "mmDeduction": ""}.
    Raises DataError; then the tables are as they were.
    """
    tiers: Tiers = {}
    for category in CATEGORIES:
        async for row in _rows(client, settings, category):
            _add(tiers, row)
    lines = [f"# Bybit's risk limits (GET /v5/market/risk-limit), fetched on {today}", _COLUMNS]
    lines += [f"{symbol} {' '.join(map(_written, sorted(of)))}" for symbol, of in sorted(tiers.items())]
    path: Path = settings.storage.path / "brackets" / table_name(Exchange.BYBIT, today)
    write_file(path, ("\n".join(lines) + "\n").encode())
    return path


_COLUMNS = "# symbol, then its tiers: cap of the value, maintenance margin rate, maximum leverage"


async def _rows(client: RestClient, settings: Settings, category: str) -> AsyncIterator[dict[str, Any]]:
    cursor, seen = "", set[str]()
    while cursor not in seen:
        seen.add(cursor)
        url = f"{settings.exchanges.bybit.api_url}/v5/market/risk-limit?category={category}"
        page = _page(await client.get(f"{url}&cursor={quote(cursor)}" if cursor else url, weight=1))
        for row in page["list"]:
            yield row
        cursor = page.get("nextPageCursor") or ""
        if not cursor:
            return


def _page(answer: object) -> dict[str, Any]:
    match answer:
        case {"retCode": 0, "result": {"list": list()} as result}:
            page: dict[str, Any] = result
            return page
        case {"retCode": int(code)} if code:
            raise DataError(f"Bybit refuses to tell its risk limits (code {code}); try again later.")
        case _:
            raise DataError("Bybit's risk limits cannot be read; try again later.")


def _add(tiers: Tiers, row: dict[str, Any]) -> None:
    try:
        tier = float(row["riskLimitValue"]), float(row["maintenanceMargin"]), float(row["maxLeverage"])
        symbol, deduction = str(row["symbol"]), float(row["mmDeduction"] or 0)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError("Bybit's risk limits cannot be read; try again later.") from error
    of = tiers.setdefault(symbol, [])
    of.append(tier)
    expected = Brackets.of(sorted(of)).deduction[sorted(of).index(tier)]
    # Tables keep no deductions, because these follow from the tiers; if they should not, better no table.
    if not tier[0] > 0 or not 0 <= tier[1] < 1 or abs(expected - deduction) > 1e-6 * max(1.0, deduction):
        raise DataError(f"Bybit's risk limits of {symbol:.30} make no sense; keep the tables there are.")


def _written(tier: Iterable[float]) -> str:
    return ",".join(f"{value:.10g}" for value in tier)
