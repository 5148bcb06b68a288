"""The command line: python -m liqmap BTCUSDT 6h top_n 100 --out DIR."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Final

from liqmap.console import READER_GONE, drop_output, write_any_text
from liqmap.errors import LiqmapError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

# By their modules: a command starts sooner without what only the others need.
_SUBCOMMANDS: Final = {
    "brackets": "liqmap.cli.brackets",
    "check": "liqmap.cli.check",
    "ledger": "liqmap.cli.ledger",
    "record": "liqmap.cli.record",
    "scan": "liqmap.cli.scan",
    "status": "liqmap.cli.record",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command in `arguments` and return the exit code.

    0: done. 1: failed. 2: the arguments or the settings are wrong. 130: interrupted. 141: nobody reads the
    output any more, as after `| head`. One sentence on stderr gives the reason of 1 and 2.
    """
    # Before anything is printed: a console whose encoding lacks arrows must not raise an error.
    write_any_text()
    words = sys.argv[1:] if arguments is None else arguments
    try:
        # A coin with the name of a subcommand can still be typed in capitals.
        code = _run(words)
        sys.stdout.flush()  # here, where a reader that has gone can be told from an error
    except LiqmapError as error:
        sys.stderr.write(f"{error}\n")
        return 2 if isinstance(error, SettingsError) else 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        drop_output()
        return READER_GONE
    return code


def _run(words: Sequence[str]) -> int:
    """Run the subcommand that the first word names, or draw the map that all words describe."""
    name = words[0] if words else ""
    if name not in _SUBCOMMANDS:
        from liqmap.cli.map import map_command  # noqa: PLC0415 - most of it is not needed by the others

        return map_command(words)
    subcommand: Callable[[Sequence[str]], int] = getattr(import_module(_SUBCOMMANDS[name]), name)
    return subcommand(words[1:])
