"""/liqmap: draw a map on demand."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Protocol

import discord
from discord import app_commands
from discord.ext import commands

from bot.replies import map_reply, progress_text
from liqmap import (
    Exchange,
    LevelFilter,
    MapRequest,
    MapResult,
    MarginModel,
    Mode,
    Progress,
    RequestError,
    Theme,
)
from liqmap.parsing import (
    COMMON_WINDOWS,
    DEFAULT_LEVERAGES,
    DEFAULT_VALUES,
    POPULAR_SYMBOLS,
    build_request,
    parse_chart,
    parse_end,
    parse_exchange,
    parse_levels,
    parse_leverages,
    parse_mode,
    parse_model,
    parse_selection,
    parse_symbol,
    parse_theme,
    parse_window,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Iterator
    from datetime import datetime

log = logging.getLogger(__name__)

PROGRESS_EVERY: Final = 2.0
"""Seconds before the first word of progress, and between two: Discord limits edits."""

_MOST_SUGGESTIONS = 25
_MODES = {
    Mode.TOP_N: "top_n: the largest trades of each side",
    Mode.GROSS_VALUE: "gross_value: all trades of at least this notional",
    Mode.PORTION: "portion: the largest share of each side's trades",
}
_MODELS = {
    MarginModel.EXCHANGE: "the exchange's own",
    MarginModel.BINANCE: "binance: isolated, by Binance's brackets",
    MarginModel.BYBIT: "bybit: isolated, by Bybit's risk limits",
    MarginModel.SIMPLE: "simple: entry ± 1/leverage, in full at each",
}
_LEVELS = {
    LevelFilter.STANDING: "standing: what price has not touched since",
    LevelFilter.ALL: "all: on the right side of the last price",
}


class Draw(Protocol):
    """How a request is drawn: the signature of `liqmap.engine.Engine.draw`."""

    def __call__(
        self, request: MapRequest, *, progress: Callable[[Progress], None] | None = None
    ) -> Coroutine[Any, Any, MapResult]:
        """Draw `request`, telling `progress`."""
        ...


class Maps(commands.Cog):
    """Commands that draw."""

    def __init__(self, draw: Draw, *, now: Callable[[], datetime], max_days: int, maps_per_user: int) -> None:
        self._draw = draw
        self._now = now
        self._max_days = max_days
        self._maps_per_user = maps_per_user
        self._under_way: Counter[int] = Counter()

    @app_commands.command(
        name="liqmap", description="Draw where positions would be liquidated, from real trades"
    )
    @app_commands.describe(
        symbol="Futures symbol, such as BTCUSDT",
        window="How far back: 6h, 90m, 7d",
        mode="Which trades count",
        value="Of the mode: 100, 100k or 1%",
        exchange="Where the trades were made (default: Binance)",
        end="End of the window in UTC, such as 2023-08-01 06:00 (default: now)",
        chart="What to draw besides map and depth",
        model="How liquidation prices are computed (default: the exchange's own way)",
        leverages="Such as 10,25,50,100, or with weights: 10:35,25:30,50:20,100:15",
        levels="Which levels count as standing (default: those that price has not touched)",
        theme="Colours of the pictures (default: dark)",
        private="Show the answer to you alone",
    )
    @app_commands.choices(
        mode=[app_commands.Choice(name=name, value=mode.value) for mode, name in _MODES.items()],
        exchange=[app_commands.Choice(name=each.title(), value=each.value) for each in Exchange],
        chart=[app_commands.Choice(name="heatmap: how the levels came and went", value="heatmap")],
        model=[app_commands.Choice(name=name, value=each.value) for each, name in _MODELS.items()],
        levels=[app_commands.Choice(name=name, value=each.value) for each, name in _LEVELS.items()],
        theme=[app_commands.Choice(name=each.value, value=each.value) for each in Theme],
    )
    @app_commands.allowed_installs(guilds=True, users=True)
    @app_commands.allowed_contexts(guilds=True, dms=True, private_channels=True)
    async def liqmap(  # noqa: PLR0913, PLR0917 - the arguments are the command's options
        self,
        interaction: discord.Interaction,
        symbol: str,
        window: str,
        mode: str,
        value: str | None = None,
        exchange: str = Exchange.BINANCE.value,
        end: str | None = None,
        chart: str | None = None,
        model: str = MarginModel.EXCHANGE.value,
        leverages: str = DEFAULT_LEVERAGES,
        levels: str = LevelFilter.STANDING.value,
        theme: str = Theme.DARK.value,
        private: bool = False,
    ) -> None:
        """Answer with the map, the depth, and the numbers beside them."""
        chosen, weights = parse_leverages(leverages)
        request = build_request(
            exchange=parse_exchange(exchange),
            symbol=parse_symbol(symbol),
            length=parse_window(window),
            end=parse_end(end, now=self._now()),
            selection=parse_selection(parse_mode(mode), value),
            max_days=self._max_days,
            heatmap=parse_chart(chart),
            model=parse_model(model),
            leverages=chosen,
            weights=weights,
            levels=parse_levels(levels),
            theme=parse_theme(theme),
        )
        with self._counted(interaction.user.id):
            await interaction.response.defer(ephemeral=private, thinking=True)
            ticker = ProgressTicker(interaction)
            try:
                result = await self._draw(request, progress=ticker.show)
            finally:
                await ticker.finish()
            reply = map_reply(result)
            await interaction.edit_original_response(
                content=None, embeds=reply.embeds, attachments=reply.files
            )

    @liqmap.autocomplete("symbol")
    async def suggest_symbols(
        self, interaction: discord.Interaction, typed: str
    ) -> list[app_commands.Choice[str]]:
        """Suggest popular symbols."""
        del interaction
        return _suggestions(typed.upper().replace("/", ""), POPULAR_SYMBOLS)

    @liqmap.autocomplete("window")
    async def suggest_windows(
        self, interaction: discord.Interaction, typed: str
    ) -> list[app_commands.Choice[str]]:
        """Suggest common windows."""
        del interaction
        return _suggestions(typed.lower(), COMMON_WINDOWS)

    @liqmap.autocomplete("value")
    async def suggest_values(
        self, interaction: discord.Interaction, typed: str
    ) -> list[app_commands.Choice[str]]:
        """Suggest values of the mode that is chosen already."""
        mode = getattr(interaction.namespace, "mode", None)
        chosen = Mode(mode) if mode in set(Mode) else Mode.TOP_N
        values = {
            Mode.TOP_N: ("50", DEFAULT_VALUES[Mode.TOP_N], "250", "1000"),
            Mode.GROSS_VALUE: ("50k", DEFAULT_VALUES[Mode.GROSS_VALUE], "250k", "1m"),
            Mode.PORTION: ("0.1%", DEFAULT_VALUES[Mode.PORTION], "5%"),
        }
        return _suggestions(typed.lower(), values[chosen])

    @contextmanager
    def _counted(self, user_id: int) -> Iterator[None]:
        if self._under_way[user_id] >= self._maps_per_user:
            raise RequestError(
                f"You have {self._maps_per_user} maps under way already; wait for one of them, please."
            )
        self._under_way[user_id] += 1
        try:
            yield
        finally:
            self._under_way[user_id] -= 1
            if not self._under_way[user_id]:
                del self._under_way[user_id]


class ProgressTicker:
    """Edits a deferred reply as the work gets on: not at once, not too often, never after `finish`."""

    def __init__(self, interaction: discord.Interaction) -> None:
        self._interaction = interaction
        self._started = self._edited = self._time()
        self._edit: asyncio.Task[None] | None = None

    def show(self, progress: Progress) -> None:
        """Show `progress`, unless it is too soon or the last edit is still on its way."""
        now = self._time()
        if now - self._edited < PROGRESS_EVERY or (self._edit and not self._edit.done()):
            return
        self._edited = now
        self._edit = asyncio.create_task(self._send(progress_text(progress, elapsed=now - self._started)))

    async def finish(self) -> None:
        """Wait for an edit that is on its way, so that it cannot overtake the answer."""
        if self._edit:
            await self._edit

    def _time(self) -> float:
        return asyncio.get_running_loop().time()

    async def _send(self, text: str) -> None:
        try:
            await self._interaction.edit_original_response(content=text)
        except discord.HTTPException as error:
            # Progress is a courtesy; the answer itself still comes, or fails with a sentence of its own.
            self._edited += 10 * PROGRESS_EVERY
            log.info("progress could not be shown: %s", error.status)


def _suggestions(typed: str, known: Iterable[str]) -> list[app_commands.Choice[str]]:
    starting = [each for each in known if each.startswith(typed)]
    containing = [each for each in known if typed in each and not each.startswith(typed)]
    return [
        app_commands.Choice(name=each, value=each) for each in [*starting, *containing][:_MOST_SUGGESTIONS]
    ]
