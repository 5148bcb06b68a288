"""Which map a ledger seals by its settings, and where that ledger lies."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from liqmap.ledger.file import digest_of, read_ledger
from liqmap.ledger.lines import FORMAT, HORIZON
from liqmap.model import LEVERAGES, MapRequest, Market, SweepPrice
from liqmap.model.window import TimeWindow
from liqmap.parsing import parse_mode, parse_selection, parse_window
from liqmap.version import __version__

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from liqmap.settings import LedgerSettings

_SWEEP = SweepPrice.TRADED  # mark prices are not always known in time, and all maps must be alike


def ledger_path(root: Path, ledger: LedgerSettings) -> Path:
    """Return where the ledger of this version and these settings is below the store's folder `root`."""
    return root / "ledger" / f"{__version__}-{digest_of(terms_of(ledger))}.jsonl"


def terms_of(ledger: LedgerSettings) -> dict[str, Any]:
    """Return the settings of the maps that are sealed. Different ones begin another ledger."""
    return {
        "window": ledger.window,
        "selection": ledger.selection,
        "leverages": list(LEVERAGES),
        "sweep": _SWEEP.value,
        "horizon_hours": HORIZON / timedelta(hours=1),
        "format": FORMAT,
        "prior": None if ledger.prior_path is None else read_ledger(ledger.prior_path).last_hash,
    }


def sealed_request(market: Market, end: datetime, ledger: LedgerSettings) -> MapRequest:
    """Return the request for the map of `market` that is sealed at `end`. Raises RequestError."""
    mode, _, value = ledger.selection.partition(" ")
    return MapRequest(
        markets=(market,),
        window=TimeWindow.ending(end, parse_window(ledger.window)),
        selection=parse_selection(parse_mode(mode), value or None),
        sweep=_SWEEP,
    )
