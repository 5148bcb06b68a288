"""Draw a map in one call: from a script, a notebook or a running event loop."""

from __future__ import annotations

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, TypeVar

from liqmap.clock import SystemClock
from liqmap.collect.listings import Listings
from liqmap.errors import RequestError, SettingsError
from liqmap.run.engine import Engine
from liqmap.run.typed import MapOptions, draw_typed, parse_request
from liqmap.settings import Settings, load_settings
from liqmap.text import completion_text

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from datetime import timedelta
    from typing import Unpack

    from liqmap.model import MapRequest, Selection
    from liqmap.model.window import TimeWindow
    from liqmap.run.result import MapResult

log = logging.getLogger(__name__)

Result = TypeVar("Result")


class Options(MapOptions, total=False):
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
    _check_options(options)
    settings = _settings(options.get("settings"))
    request = parse_request(symbol, window, selection, options, max_days=settings.engine.max_window_days)
    return await draw_for_script(request, settings, typed=symbol, simulated=options.get("simulated", False))


def _check_options(options: Options) -> None:
    # A misspelled option would otherwise be ignored, and the map would silently be another one.
    if unknown := sorted(options.keys() - Options.__optional_keys__):
        known = ", ".join(sorted(Options.__optional_keys__))
        raise RequestError(f"draw has no option {unknown[0]}; it takes {known}.")
    # Any text is true, also "no": an invented market would be drawn where the real one was meant.
    simulated: object = options.get("simulated", False)
    if not isinstance(simulated, bool):
        raise RequestError(f"simulated must be True or False, not {simulated!r}.")


def _settings(settings: object) -> Settings:
    if isinstance(settings, Settings):
        return settings
    if settings is None or isinstance(settings, str | Path):
        return load_settings(None if settings is None else Path(settings))
    raise SettingsError(f"settings must be a file of settings, or Settings, not {settings!r}.")


async def draw_for_script(
    request: MapRequest, settings: Settings, *, typed: str, simulated: bool = False
) -> MapResult:
    """Draw in an engine of its own, as `draw_typed` does, and log what the symbol was taken to mean."""
    opened = Engine.simulated if simulated else Engine
    # A script without a main guard cannot start processes, so everything runs in this one.
    with ThreadPoolExecutor(1) as executor:
        async with (
            opened(settings, executor=executor) as engine,
            # With the engine's settings: a simulated one has listings of its own.
            Listings(engine.settings, clock=SystemClock()) as listings,
        ):
            result = await draw_typed(request, engine=engine, listings=listings, typed=typed)
    if completion := completion_text(request.markets, result.request.markets):
        # A script's user reads no reply: what is drawn must not differ silently from what was typed.
        log.warning("%s", completion)
    return result


def in_own_loop(start: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
    """Run a coroutine to its end in another thread, because a notebook's loop may be running in this one.

    What interrupts the wait for it, such as Ctrl-C, cancels it.
    """
    interrupted, stops = Event(), []

    async def stoppable() -> Result:
        running = asyncio.ensure_future(start())
        stops.append(partial(asyncio.get_running_loop().call_soon_threadsafe, running.cancel))
        if interrupted.is_set():
            running.cancel()
        return await running

    with ThreadPoolExecutor(1) as thread:
        try:
            return thread.submit(lambda: asyncio.run(stoppable())).result()
        except BaseException:
            # The other thread sees no Ctrl-C. Without this, the whole download would be waited for.
            interrupted.set()
            for stop in stops:
                with suppress(RuntimeError):  # the loop has come to its end
                    stop()
            raise
