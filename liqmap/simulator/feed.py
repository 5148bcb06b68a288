"""Send every stream client what has happened since the last time."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from liqmap.simulator.clock import epoch_ms
from liqmap.simulator.connections import GONE, Connection, Subscription
from liqmap.simulator.dialects import Kind

if TYPE_CHECKING:
    from liqmap.clock import Clock
    from liqmap.simulator.streams import Streams
    from liqmap.simulator.tape import Tape


class Feed:
    """Sends the events on `tape`, up to `clock`'s time, to the clients of `streams`."""

    def __init__(self, tape: Tape, clock: Clock, streams: Streams) -> None:
        self._tape = tape
        self._clock = clock
        self._streams = streams

    async def pump(self) -> None:
        """Send each client all that is due, in order of time for each topic, no faster than it reads."""
        await asyncio.gather(*(self._send(connection) for connection in self._streams.connections))

    async def run(self, every: float) -> None:
        """Send what is due every `every` seconds of the clock. A client that does not read delays nobody."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                await self._streams.occupied()  # without clients there is no reason to wake up
                await self._clock.sleep(every)
                for connection in self._streams.connections:
                    # One that is still being sent to gets the rest the next time.
                    if not connection.sending.locked():
                        tasks.create_task(self._send(connection))

    async def _send(self, connection: Connection) -> None:
        with suppress(*GONE):
            async with connection.sending:
                for name, subscription in list(connection.subscriptions.items()):
                    if subscription is not None:
                        for message in await self._due(connection, name, subscription):
                            await connection.socket.send_str(message)

    async def _due(self, connection: Connection, name: str, subscription: Subscription) -> list[str]:
        """Return the messages that a topic is due, and note that they were sent."""
        dialect, topic = connection.dialect, subscription.topic
        now = until = epoch_ms(self._clock.now())
        if topic.kind is Kind.LIQUIDATIONS:
            # Liquidations are sent for whole periods, and the current period is not over.
            until = max(now - now % dialect.liquidation_period_ms - 1, subscription.sent_ms)
        since, subscription.sent_ms = subscription.sent_ms + 1, until
        if connection.is_silent(topic.symbol):
            return []
        if topic.kind is Kind.LIQUIDATIONS:
            some = await self._tape.liquidations(topic.symbol, since, until + 1)
            return [text for part in some for text in dialect.liquidations(name, part, now)]
        parts = await self._tape.between(topic.symbol, since, until + 1)
        return [text for part in parts for text in dialect.trades(name, part, now)]
