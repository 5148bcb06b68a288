"""Print what the ledger finds in invented markets, as the tables of docs/accuracy.md."""

from __future__ import annotations

import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple

import numpy as np

from liqmap.ledger.chance import Interval
from tests.accuracy.worlds import World, empty_share, gain_after, lift_after, scored_windows

SEEDS = 40
DAYS = (5, 10, 20, 30, 60, 90)
KNOWLEDGE = (0.0, 0.05, 0.1, 0.2, 0.5, 1.0)


class Found(NamedTuple):
    """What is found in one world: difference and gain after each number of days, and what lies behind them.

    `matched_gain` is the gain at equal distance after all days, `empty` the share of USD that was liquidated
    where nothing stands.
    """

    lifts: tuple[Interval, ...]
    gains: tuple[Interval, ...]
    matched_gain: Interval
    empty: float


def find(world: World) -> Found:
    """Return what is found in a world of ninety days."""
    scored = scored_windows(world, DAYS[-1])
    lifts = tuple(lift_after(scored, days) for days in DAYS)
    gains = tuple(gain_after(scored, days) for days in DAYS)
    matched = gain_after(scored, DAYS[-1], matched=True)
    return Found(lifts, gains, matched, empty_share(world, DAYS[-1]))


def main() -> None:
    """Run all seeds of all worlds on two cores and print the tables."""
    worlds = [World(knowledge, seed) for knowledge in KNOWLEDGE for seed in range(SEEDS)]
    with ProcessPoolExecutor(2) as pool:
        found = dict(zip(worlds, pool.map(find, worlds), strict=True))
    by_knowledge = {
        knowledge: [found[world] for world in worlds if world.knowledge == knowledge]
        for knowledge in KNOWLEDGE
    }
    write = sys.stdout.write
    for name, of in _FIGURES.items():
        write(f"Share of {SEEDS} markets whose 95 % interval of the {name} lies above zero (below zero):\n\n")
        write("| known | " + " | ".join(f"{days} days" for days in DAYS) + " |\n")
        write("|---:|" + "---:|" * len(DAYS) + "\n")
        for knowledge, its in by_knowledge.items():
            cells = [_shares([of(each)[place] for each in its]) for place in range(len(DAYS))]
            write(f"| {knowledge:.0%} | " + " | ".join(cells) + " |\n")
        write("\n")
    write(f"Means over the markets after {DAYS[-1]} days:\n\n")
    write("| known | USD where nothing stands | difference | information gain | gain at equal distance |\n")
    write("|---:|---:|---:|---:|---:|\n")
    for knowledge, its in by_knowledge.items():
        empty, lift, gain, matched = np.mean(
            [
                (each.empty, each.lifts[-1].value, each.gains[-1].value, each.matched_gain.value)
                for each in its
            ],
            axis=0,
        )
        row = f"{lift * 100:+.1f} pp | {gain:+.2f} bits | {matched:+.2f} bits".replace("-", "−")
        write(f"| {knowledge:.0%} | {empty:.0%} | {row} |\n")


def _shares(lifts: list[Interval]) -> str:
    above = sum(each.low > 0 for each in lifts) / len(lifts)
    below = sum(each.high < 0 for each in lifts) / len(lifts)
    return f"{above:.0%} ({below:.0%})"


_FIGURES: dict[str, Callable[[Found], tuple[Interval, ...]]] = {
    "difference": lambda each: each.lifts,
    "information gain": lambda each: each.gains,
}

if __name__ == "__main__":
    main()
