"""`liqmap check`: check whether the files of the store are as they were written."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from liqmap.brackets import read_table
from liqmap.collect.clients import clock_problem
from liqmap.errors import DataError, LiqmapError
from liqmap.exchanges import EXCHANGES
from liqmap.files import matching
from liqmap.ledger.file import verify_ledger
from liqmap.run.margin_check import margin_checks
from liqmap.settings import load_settings
from liqmap.store.check import Finding, check_store
from liqmap.store.damaged import damage_warning
from liqmap.text import list_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from liqmap.model import Exchange
    from liqmap.settings import Settings

_ADVICE = (
    "A map that needs a damaged segment sets it aside and fetches its day again, where the exchange publishes"
    " it. Check the disk."
)
_PATIENCE = 5.0  # seconds


def check(words: Sequence[str]) -> int:
    """Check the store and the clock, print a sentence for each problem, and return 1 if there is any."""
    options = _parser().parse_args(words)
    settings = load_settings(options.config)
    root = settings.storage.path
    checked = problems = 0
    for finding in tqdm(findings(root, deep=options.deep), leave=False, disable=not sys.stderr.isatty()):
        checked += 1
        if finding.problem is not None:
            problems += 1
            # Not `print`, which would write into the line of the progress bar.
            tqdm.write(finding.problem, file=sys.stdout)
    # These are remarks on the brackets, not on damage, so they leave the exit code alone.
    for each in margin_checks(root):
        if remark := each.problem or each.too_few:
            sys.stdout.write(f"{remark}\n")
    _say(checked, problems, damage_warning(root))
    sentences, is_off = asyncio.run(_clocks(settings))
    sys.stdout.write("".join(f"{each}\n" for each in sentences))
    return 1 if problems or is_off else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="liqmap check",
        description="Check whether the files of the store are as they were written, and whether this"
        " machine's clock agrees with the exchanges'. Nothing is changed.",
    )
    parser.add_argument(
        "--deep", action="store_true", help="read all stored trades and compare them with their checksums"
    )
    parser.add_argument("--config", metavar="FILE", type=Path, help="settings, as in config.example.toml")
    return parser


async def _clocks(settings: Settings) -> tuple[list[str], bool]:
    """Return sentences on how this machine's clock compares with the exchanges', and whether it is wrong."""
    # The store is checked without a network as well, so nobody is waited for.
    hasty = {"attempts": 1, "answer_timeout": _PATIENCE, "stall_timeout": _PATIENCE}
    settings = settings.model_copy(update={"network": settings.network.model_copy(update=hasty)})

    async def compared(exchange: Exchange) -> str | DataError | None:
        try:
            return await clock_problem(settings, exchange)
        except DataError as error:
            return error

    found = dict(zip(EXCHANGES, await asyncio.gather(*map(compared, EXCHANGES)), strict=True))
    off = [each for each in found.values() if isinstance(each, str)]
    return [*off, *_agreement(found)], bool(off)


def _agreement(found: Mapping[Exchange, str | DataError | None]) -> Iterator[str]:
    agreeing = [EXCHANGES[each].label for each, outcome in found.items() if outcome is None]
    unknown = [EXCHANGES[each].label for each, outcome in found.items() if isinstance(outcome, DataError)]
    if agreeing:
        yield f"This machine's clock agrees with that of {list_text(agreeing)}."
    if unknown:
        yield (
            f"This machine's clock could not be compared with that of {list_text(unknown)};"
            " check the network."
        )


def findings(root: Path, *, deep: bool) -> Iterator[Finding]:
    """Yield a finding for each file of the store at `root`, including bracket tables and ledgers."""
    yield from check_store(root, deep=deep)
    readers: dict[str, Callable[[Path], object]] = {
        "brackets/*.txt": read_table,
        "ledger/*.jsonl": verify_ledger,
    }
    for pattern, read in readers.items():
        for path in matching(root, pattern):
            try:
                read(path)
            except LiqmapError as error:
                yield Finding(path, str(error))
            else:
                yield Finding(path, None)


def _say(checked: int, problems: int, damage: str | None) -> None:
    files = "1 segment or file" if checked == 1 else f"{checked:,} segments and files"
    lines = [f"Checked {files}: {f'{problems:,} with a problem' if problems else 'all as written'}."]
    lines += [_ADVICE] if problems else []
    lines += [damage] if damage else []
    sys.stdout.write("\n".join(lines) + "\n")
