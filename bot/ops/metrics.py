"""Count and time what the bot does, for Prometheus."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Unpack

import aiohttp
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from bot.interaction.state import state_of
from liqmap import LiqmapError

if TYPE_CHECKING:
    from collections.abc import Callable

    import discord

    from bot.request.drawing import Draw, Listeners
    from liqmap import MapRequest, MapResult

# From an answer out of the cache to the longest fetch; 3 is the limit within which Discord must be answered.
_SECONDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0, 300.0)


class Metrics:
    """Counters of one process, in a registry of their own."""

    def __init__(self) -> None:
        # Not the global registry: two bots in one process, as in tests, would collide there.
        self.registry = CollectorRegistry()
        self._commands = self._counter("commands", "Commands by name and outcome", "command", "outcome")
        self._presses = self._counter("presses", "Presses of buttons and menus")
        self._acknowledged = self._histogram("acknowledge", "Seconds until a command was acknowledged")
        self._answered = self._histogram("answer", "Seconds until a command was answered")
        self._maps = self._counter("maps", "Maps by outcome", "outcome")
        self._drawn = self._histogram("map", "Seconds until a map was drawn, or taken from the cache")
        self._snapshots = self._counter("snapshots", "Scheduled posts by outcome", "outcome")
        text = "Requests to exchanges by host and outcome: the status, or the error"
        self._requests = self._counter("exchange_requests", text, "host", "outcome")
        self._bytes = self._counter("exchange_bytes", "Bytes of exchanges' answers, as announced", "host")
        self._shared = self._histogram("shared_store", "Seconds of an operation on the shared store")
        text = "Operations on the shared store that failed"
        self._shared_failures = self._counter("shared_store_failures", text)

    def watch(self, name: str, text: str, read: Callable[[], float]) -> None:
        """Show what `read` returns as the gauge `name`."""
        Gauge(f"liqmap_{name}", text, registry=self.registry).set_function(read)

    def count_command(self, interaction: discord.Interaction[Any], outcome: str) -> None:
        """Count a finished command: answered, refused or failed."""
        now = time.perf_counter()
        command = interaction.command.qualified_name if interaction.command else "unknown"
        self._commands.labels(command, outcome).inc()
        state = state_of(interaction)
        if state.began is not None:
            acknowledged = now if state.acknowledged is None else state.acknowledged
            self._acknowledged.observe(acknowledged - state.began)
            self._answered.observe(now - state.began)

    def count_shared(self, seconds: float, succeeded: bool) -> None:
        """Count an operation on the shared store."""
        self._shared.observe(seconds)
        if not succeeded:
            self._shared_failures.inc()

    def count_press(self) -> None:
        """Count a press of a button or menu."""
        self._presses.inc()

    def count_snapshot(self, outcome: str) -> None:
        """Count a scheduled post: posted, failed or paused."""
        self._snapshots.labels(outcome).inc()

    def measured(self, draw: Draw) -> Draw:
        """Return `draw`, counted and timed."""

        async def run(request: MapRequest, **listeners: Unpack[Listeners]) -> MapResult:
            started = time.perf_counter()
            try:
                result = await draw(request, **listeners)
            except LiqmapError as error:
                self._maps.labels(type(error).__name__).inc()
                raise
            self._maps.labels("drawn").inc()
            self._drawn.observe(time.perf_counter() - started)
            return result

        return run

    def downloads(self) -> aiohttp.TraceConfig:
        """Return a trace configuration that counts the requests of a session."""
        trace = aiohttp.TraceConfig()

        async def ended(_: object, __: object, end: aiohttp.TraceRequestEndParams) -> None:
            host = end.url.host or ""
            self._requests.labels(host, str(end.response.status)).inc()
            self._bytes.labels(host).inc(end.response.content_length or 0)

        async def failed(_: object, __: object, failure: aiohttp.TraceRequestExceptionParams) -> None:
            self._requests.labels(failure.url.host or "", type(failure.exception).__name__).inc()

        trace.on_request_end.append(ended)
        trace.on_request_exception.append(failed)
        return trace

    def page(self) -> bytes:
        """Return all metrics in the text format of Prometheus."""
        return generate_latest(self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"liqmap_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str) -> Histogram:
        return Histogram(f"liqmap_{name}_seconds", text, buckets=_SECONDS, registry=self.registry)
