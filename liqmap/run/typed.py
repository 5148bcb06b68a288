"""Draw a map from what a person typed: parse the options, complete the symbols, draw."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypedDict

from liqmap.clock import utc_now
from liqmap.errors import NotPublished, RequestError
from liqmap.model import (
    DEFAULT_EXCHANGE,
    PICTURES,
    Exchange,
    LevelFilter,
    MapRequest,
    MarginModel,
    Market,
    PositionModel,
    SweepPrice,
    Theme,
)
from liqmap.model.window import TimeWindow
from liqmap.parsing import (
    DEFAULT_LEVERAGES,
    check_request,
    parse_end,
    parse_exchanges,
    parse_levels,
    parse_leverages,
    parse_mode,
    parse_model,
    parse_pictures,
    parse_positions,
    parse_selection,
    parse_stack,
    parse_sweep,
    parse_symbol,
    parse_theme,
    parse_turnover,
    parse_window,
    quoted,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from liqmap.collect.listings import Listings
    from liqmap.model import Picture, Progress, Selection, Stack
    from liqmap.run.engine import Engine
    from liqmap.run.result import MapResult


class MapOptions(TypedDict, total=False):
    """What a map takes besides market, window and selection; each may be text or a value."""

    end: str | datetime | None
    exchange: str | Exchange
    pictures: str | Iterable[Picture]
    leverages: str | Sequence[int] | Mapping[int, float]
    model: str | MarginModel
    levels: str | LevelFilter
    sweep: str | SweepPrice
    positions: str | PositionModel
    turnover: str | float
    each: bool
    merge: bool | None
    stack: str | Stack | None
    theme: str | Theme
    tables: bool


def parse_request(
    symbol: str,
    window: str | timedelta | TimeWindow,
    selection: str | Selection,
    options: MapOptions,
    *,
    max_days: int,
) -> MapRequest:
    """Return the request that the options mean, with a window of at most `max_days`. Raises RequestError."""
    leverages, weights = parse_leverages(_leverages(options.get("leverages", DEFAULT_LEVERAGES)))
    exchanges, name = parse_exchanges(options.get("exchange", DEFAULT_EXCHANGE)), parse_symbol(symbol)
    stack = options.get("stack")
    request = MapRequest(
        markets=tuple(Market(each, name) for each in exchanges),
        window=_window(window, options.get("end")),
        selection=_selection(selection) if isinstance(selection, str) else selection,
        leverages=leverages,
        weights=weights,
        model=parse_model(options.get("model", MarginModel.EXCHANGE)),
        levels=parse_levels(options.get("levels", LevelFilter.STANDING)),
        sweep=parse_sweep(options.get("sweep", SweepPrice.AUTO)),
        positions=parse_positions(options.get("positions", PositionModel.TRADES)),
        turnover=parse_turnover(str(options.get("turnover", 0))),
        each=options.get("each", False),
        merge=options.get("merge"),
        stack=None if stack is None else parse_stack(stack),
        theme=parse_theme(options.get("theme", Theme.DARK)),
        pictures=parse_pictures(options.get("pictures", PICTURES)),
        tables=options.get("tables", False),
    )
    return check_request(request, max_days=max_days)


async def draw_typed(
    request: MapRequest,
    *,
    engine: Engine,
    listings: Listings,
    typed: str,
    progress: Callable[[Progress], None] | None = None,
) -> MapResult:
    """Complete the symbols of `request` and draw it; the error for an unknown symbol names similar ones.

    `typed` is the symbol as it was typed. Raises what `Engine.draw` raises.
    """
    # Completed before the job is shared: "btc" and "BTCUSDT" are one request then.
    completed = await listings.completed(request)
    try:
        return await engine.draw(completed, progress=progress)
    except (RequestError, NotPublished) as error:
        raise await listings.suggesting(error, completed, typed=typed) from None


def _leverages(leverages: object) -> str:
    """Write leverages as the command line takes them."""
    if isinstance(leverages, Mapping):
        # As text, so that values pass the same checks as what is typed.
        return ",".join(f"{leverage}:{weight}" for leverage, weight in leverages.items())
    if isinstance(leverages, Iterable) and not isinstance(leverages, str | bytes):
        return ",".join(map(str, leverages))
    return str(leverages)


def _window(window: str | timedelta | TimeWindow, end: str | datetime | None) -> TimeWindow:
    now = utc_now()
    if not isinstance(window, TimeWindow):
        length = window if isinstance(window, timedelta) else parse_window(window)
        if length.microseconds:
            raise RequestError("The length of a window is whole seconds, such as timedelta(hours=6).")
        moment = _moment(end) if isinstance(end, datetime) else parse_end(end, now=now)
        window = TimeWindow.ending(moment, length)
    elif end is not None:
        raise RequestError("A TimeWindow has its own end; leave out `end`, or give a length such as 6h.")
    if window.end > now:
        raise RequestError(
            f"The end {window.end:%Y-%m-%d %H:%M} lies in the future; leave it out to end now (UTC)."
        )
    return window


def _moment(end: datetime) -> datetime:
    """Return the end of a window in UTC. Raises RequestError."""
    try:
        zoned, moment = end.utcoffset() is not None, end.astimezone(UTC)
    except (ValueError, OverflowError):  # the NaT of pandas, and the first and last hours that there are
        raise RequestError(f"The end {quoted(str(end))} is not a time; try 2023-08-01 06:00 (UTC).") from None
    if not zoned:
        # It may be meant in UTC or in the machine's zone; a guess could be off by hours.
        raise RequestError(
            "The end of a window needs a time zone, such as datetime(2023, 8, 1, 6, tzinfo=UTC)."
        )
    if moment.microsecond:
        raise RequestError("The end of a window is a whole second; add .replace(microsecond=0) to it.")
    return moment


def _selection(text: str) -> Selection:
    mode, _, value = text.strip().partition(" ")
    return parse_selection(parse_mode(mode), value.strip() or None)
