"""`liqmap check`: check whether the files of the store are as they were written."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from liqmap.brackets import read_table
from liqmap.errors import LiqmapError
from liqmap.files import matching
from liqmap.ledger.file import verify_ledger
from liqmap.run.margin_check import margin_checks
from liqmap.settings import load_settings
from liqmap.store.check import Finding, check_store
from liqmap.store.damaged import damage_warning

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_ADVICE = (
    "A map that needs a damaged segment sets it aside and fetches its day again, where the exchange publishes"
    " it. Check the disk."
)


def check(words: Sequence[str]) -> int:
    """Check the store, print a sentence for each problem, and return the exit code: 1 if there is any."""
    parser = argparse.ArgumentParser(
        prog="liqmap check",
        description="Check whether the files of the store are as they were written. Nothing is changed.",
    )
    parser.add_argument(
        "--deep", action="store_true", help="read all stored trades and compare them with their checksums"
    )
    parser.add_argument("--config", metavar="FILE", type=Path, help="settings, as in config.example.toml")
    options = parser.parse_args(words)
    root = load_settings(options.config).storage.path
    checked = problems = 0
    for finding in tqdm(findings(root, deep=options.deep), leave=False, disable=not sys.stderr.isatty()):
        checked += 1
        if finding.problem is not None:
            problems += 1
            # Not `print`, which would write into the line of the progress bar.
            tqdm.write(finding.problem, file=sys.stdout)
    # These are remarks on the brackets, not on damage, so they leave the exit code alone.
    for each in margin_checks(root):
        if each.problem is not None:
            sys.stdout.write(f"{each.problem}\n")
    _say(checked, problems, damage_warning(root))
    return 1 if problems else 0


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
