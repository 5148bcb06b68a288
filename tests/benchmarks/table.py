"""The table that the benchmarks fill: printed line by line, and kept as Markdown."""

from __future__ import annotations

import os
import platform
import statistics
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import psutil


class Table:
    """Rows of (what, median, minimum, maximum, unit), under headings."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._say(machine())

    def heading(self, text: str) -> None:
        """Begin a section."""
        self._say(f"\n## {text}\n\n| | median | min | max | |\n|---|---:|---:|---:|---|")

    def row(self, name: str, values: Sequence[float], *, unit: str = "ms") -> None:
        """Add what was measured several times."""
        middle, low, high = (
            _written(value) for value in (statistics.median(values), min(values), max(values))
        )
        self._say(f"| {name} | {middle} | {low} | {high} | {unit} |")

    def value(self, name: str, value: float, *, unit: str) -> None:
        """Add what was measured once."""
        self._say(f"| {name} | {_written(value)} | | | {unit} |")

    def note(self, text: str) -> None:
        """Add a line of its own."""
        self._say(f"\n{text}")

    def save(self, path: Path) -> None:
        """Write the table as Markdown."""
        path.write_text("# Measured\n\n`make bench` wrote this. " + "\n".join(self._lines) + "\n")

    def _say(self, line: str) -> None:
        self._lines.append(line)
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


def machine() -> str:
    """Say where and when this is measured."""
    info = Path("/proc/cpuinfo")
    names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if "model name" in line]
    processor = names[0] if names else platform.processor()
    memory = psutil.virtual_memory().total / 2**30
    return (
        f"{os.cpu_count()} cores ({processor}), {memory:.0f} GiB, Python {platform.python_version()},"
        f" {datetime.now(UTC):%Y-%m-%d}. Simulated BTCUSDT days of 1.0 to 1.4 million trades."
        f" {load()}"
    )


def load() -> str:
    """Say how busy the machine has been of late, this included."""
    return f"{os.getloadavg()[1]:.1f} processes wanted to run at once in the last five minutes."


def _written(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
