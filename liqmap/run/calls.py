"""Draw a map in one call: from a script, a notebook or a running event loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar

from liqmap.clock import SystemClock, utc_now
from liqmap.collect.listings import Listings
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
)
from liqmap.run.engine import Engine
from liqmap.settings import Settings, load_settings
from liqmap.text import completion_text
from liqmap.window import TimeWindow

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Sequence
    from typing import Unpack

    from liqmap.model import Picture, Selection, Stack
    from liqmap.run.result import MapResult

log = logging.getLogger(__name__)

Result = TypeVar("Result")


class Options(TypedDict, total=False):
    """What `draw` and `adraw` take by name; each may be text, as the command line takes it, or a value.

    end: when the window ends, in UTC (default: now). exchange: where the trades were made, such as "okx", or
    "all" for one map of all. pictures: which to draw, such as "map,heatmap" (default: the map and the depth).
    leverages: such as "10:35,25:30,50:20,100:15", or a sequence of them, or their weights by leverage. model:
    the margin model. levels: "standing" or "all". sweep: the price that sweeps levels, "auto", "traded" or
    "mark". positions: how much of what trades opened is taken to stand, "trades" or "open-interest".
    turnover: the part of the offsetting volume that is turnover, by open interest: 0, 0.5 or 1. Of several
    exchanges, each: whether to select on each one, and stack: by "exchange" or "leverage". merge: whether the
    fills of one order are put together (default: of several exchanges). theme: "dark" or "light". tables:
    whether the result has Arrow tables. simulated: draw an invented market, without any network. settings: a
    file of settings, or them.
    """

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
    simulated: bool
    settings: Settings | Path | str | None


def draw(
    symbol: str,
    window: str | timedelta | TimeWindow,
    selection: str | Selection = "top_n 100",
    **options: Unpack[Options],
) -> MapResult:
    """Draw a liquidation map and return it: `draw("BTCUSDT", "6h", "top_n 100", end="2023-08-01 06:00")`.

    Everything runs in this process, so a script needs no main guard; a notebook's event loop may be running.
    Trades are kept in the store that the command line and the bot use. `Options` lists what else there is.
    Raises RequestError, DataError or SettingsError, each with a plain sentence.
    """
    return in_own_loop(lambda: adraw(symbol, window, selection, **options))


async def adraw(
    symbol: str,
    window: str | timedelta | TimeWindow,
    selection: str | Selection = "top_n 100",
    **options: Unpack[Options],
) -> MapResult:
    """Draw as `draw` does, awaited in a running event loop. For many maps, use one `Engine`."""
    if unknown := sorted(options.keys() - Options.__optional_keys__):
        known = ", ".join(sorted(Options.__optional_keys__))
        raise RequestError(f"draw has no option {unknown[0]}; it takes {known}.")
    settings = options.get("settings")
    if not isinstance(settings, Settings):
        settings = load_settings(None if settings is None else Path(settings))
    request = _request(symbol, window, selection, options, max_days=settings.engine.max_window_days)
    async with AsyncExitStack() as stack:
        # A script without a main guard cannot start processes, so everything runs in this one.
        executor = stack.enter_context(ThreadPoolExecutor(1))
        engine = await stack.enter_async_context(
            Engine.simulated(settings, executor=executor)
            if options.get("simulated", False)
            else Engine(settings, executor=executor)
        )
        listings = await stack.enter_async_context(Listings(engine.settings, clock=SystemClock()))
        request = await completed(listings, request)
        try:
            return await engine.draw(request)
        except (RequestError, NotPublished) as error:
            raise await listings.suggesting(error, request, typed=symbol) from None


async def completed(listings: Listings, request: MapRequest) -> MapRequest:
    """Return `request` for the markets that its symbols mean, and log what they were taken to mean."""
    meant = await listings.completed(request)
    if completion := completion_text(request.markets, meant.markets):
        # A script's user reads no reply: what is drawn must not differ silently from what was typed.
        log.warning("%s", completion)
    return meant


def in_own_loop(start: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
    """Run a coroutine to its end in another thread, because a notebook's loop may be running in this one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: asyncio.run(start())).result()


def _request(
    symbol: str,
    window: str | timedelta | TimeWindow,
    selection: str | Selection,
    options: Options,
    *,
    max_days: int,
) -> MapRequest:
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


def _leverages(leverages: str | Sequence[int] | Mapping[int, float]) -> str:
    """Write leverages as the command line takes them."""
    if isinstance(leverages, str):
        return leverages
    if isinstance(leverages, Mapping):
        return ",".join(f"{leverage}:{weight}" for leverage, weight in leverages.items())
    return ",".join(map(str, leverages))


def _window(window: str | timedelta | TimeWindow, end: str | datetime | None) -> TimeWindow:
    if isinstance(window, TimeWindow):
        if end is not None:
            raise RequestError("A TimeWindow has its own end; leave out `end`, or give a length such as 6h.")
        return window
    length = window if isinstance(window, timedelta) else parse_window(window)
    if not isinstance(end, datetime):
        end = parse_end(end, now=utc_now())
    elif end.utcoffset() is None:
        raise RequestError(
            "The end of a window needs a time zone, such as datetime(2023, 8, 1, 6, tzinfo=UTC)."
        )
    return TimeWindow.ending(end.astimezone(UTC), length)


def _selection(text: str) -> Selection:
    mode, _, value = text.strip().partition(" ")
    return parse_selection(parse_mode(mode), value.strip() or None)
