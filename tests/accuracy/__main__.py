"""Print what the ledger finds in invented markets, as the tables of docs/accuracy.md."""

from __future__ import annotations

import sys
from concurrent.futures import ProcessPoolExecutor
from typing import NamedTuple

from liqmap.ledger.chance import Interval
from tests.accuracy.worlds import World, gain_after, lift_after, scored_windows

SEEDS = 40
DAYS = (5, 10, 20, 30, 60, 90)
KNOWLEDGE = (0.0, 0.05, 0.1, 0.2, 0.5, 1.0)


class Found(NamedTuple):
    """What is found in one world: the difference after each number of days, and both gains after all."""

    lifts: tuple[Interval, ...]
    gain: Interval
    matched_gain: Interval


def find(world: World) -> Found:
    """Return what is found in a world of ninety days."""
    scored = scored_windows(world, DAYS[-1])
    lifts = tuple(lift_after(scored, days) for days in DAYS)
    return Found(lifts, gain_after(scored, DAYS[-1]), gain_after(scored, DAYS[-1], matched=True))


def main() -> None:
    """Run all seeds of all worlds on two cores and print the tables."""
    worlds = [World(knowledge, seed) for knowledge in KNOWLEDGE for seed in range(SEEDS)]
    with ProcessPoolExecutor(2) as pool:
        found = dict(zip(worlds, pool.map(find, worlds), strict=True))
    write = sys.stdout.write
    write(f"Share of {SEEDS} markets whose 95 % interval lies above zero (below zero):\n\n")
    write("| known | " + " | ".join(f"{days} days" for days in DAYS) + " |\n")
    write("|---:|" + "---:|" * len(DAYS) + "\n")
    for knowledge in KNOWLEDGE:
        its = [found[world] for world in worlds if world.knowledge == knowledge]
        cells = [_shares([each.lifts[place] for each in its]) for place in range(len(DAYS))]
        write(f"| {knowledge:.0%} | " + " | ".join(cells) + " |\n")
    write(f"\nMeans over the markets after {DAYS[-1]} days:\n\n")
    write("| known | difference | information gain | above zero | gain at equal distance | above zero |\n")
    write("|---:|---:|---:|---:|---:|---:|\n")
    for knowledge in KNOWLEDGE:
        its = [found[world] for world in worlds if world.knowledge == knowledge]
        lift = sum(each.lifts[-1].value for each in its) / SEEDS
        gain = sum(each.gain.value for each in its) / SEEDS
        matched = sum(each.matched_gain.value for each in its) / SEEDS
        above, above_matched = (
            sum(interval.low > 0 for interval in intervals) / SEEDS
            for intervals in ([each.gain for each in its], [each.matched_gain for each in its])
        )
        row = f"| {knowledge:.0%} | {lift * 100:+.1f} pp | {gain:+.2f} bits | {above:.0%}"
        write(f"{row} | {matched:+.2f} bits | {above_matched:.0%} |\n".replace("-", "−"))


def _shares(lifts: list[Interval]) -> str:
    above = sum(each.low > 0 for each in lifts) / len(lifts)
    below = sum(each.high < 0 for each in lifts) / len(lifts)
    return f"{above:.0%} ({below:.0%})"


if __name__ == "__main__":
    main()
