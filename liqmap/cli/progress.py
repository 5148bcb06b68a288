"""A request's progress on a terminal: what is being done, a bar, and the time left."""

from __future__ import annotations

import sys
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Self

from tqdm import tqdm

from liqmap.text import duration_text

if TYPE_CHECKING:
    from liqmap.model import Progress

_ALONE = "{desc} \N{HORIZONTAL ELLIPSIS}"
_WITH_BAR = "{desc} {bar} {percentage:3.0f} %{postfix}"


class ProgressBar:
    """Shows progress as one line on stderr, if that is a terminal, until `async with` or `with` ends."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._shown = ""
        # Nothing goes into a log file or pipe, where each update would be a line of its own.
        self._bar = tqdm(total=100, leave=False, disable=not sys.stderr.isatty(), bar_format=" ")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def show(self, progress: Progress) -> None:
        """Show words at once, a bar once a part is done, and the time left once the pace is known."""
        percent = round((progress.fraction or 0.0) * 100)
        left = progress.seconds_left(time.monotonic() - self._started) or 0.0
        words = f"about {duration_text(timedelta(seconds=left))} left" if percent and left >= 1 else ""
        # Reports come in bursts, and most of them change nothing that is visible.
        shown = f"{progress.text} {percent} {words}"
        if shown == self._shown:
            return
        self._shown = shown
        self._bar.bar_format = _WITH_BAR if percent else _ALONE
        self._bar.n = percent
        self._bar.set_description_str(progress.text, refresh=False)
        self._bar.set_postfix_str(words, refresh=False)
        self._bar.refresh()
