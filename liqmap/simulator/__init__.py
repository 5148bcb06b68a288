"""A market that runs on this machine: a seeded generator, and a server with the exchanges' formats.

It imports nothing of `liqmap.exchanges`. It is written from the exchanges' published rows and not from the
parsers, so that it can find mistakes in them.
"""

from liqmap.settings.simulated import GENEROUS
from liqmap.simulator.clock import SimulatedClock, remote_clock
from liqmap.simulator.crash import CrashServer
from liqmap.simulator.faults import Fault
from liqmap.simulator.listings import LISTINGS, MarketDay
from liqmap.simulator.market import SimulatedMarket
from liqmap.simulator.messages import Bracket
from liqmap.simulator.server import MarketServer

__all__ = [
    "GENEROUS",
    "LISTINGS",
    "Bracket",
    "CrashServer",
    "Fault",
    "MarketDay",
    "MarketServer",
    "SimulatedClock",
    "SimulatedMarket",
    "remote_clock",
]
