"""The command line: python -m liqmap BTCUSDT 6h top_n 100 --out DIR."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

from liqmap.cli.brackets import brackets
from liqmap.cli.check import check
from liqmap.cli.ledger import ledger
from liqmap.cli.map import map_command
from liqmap.cli.record import record, status
from liqmap.cli.scan import scan
from liqmap.console import READER_GONE, drop_output, write_any_text
from liqmap.errors import LiqmapError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Sequence

_SUBCOMMANDS: Final = {
    "brackets": brackets,
    "check": check,
    "ledger": ledger,
    "record": record,
    "scan": scan,
    "status": status,
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
        subcommand = _SUBCOMMANDS.get(words[0]) if words else None
        code = map_command(words) if subcommand is None else subcommand(words[1:])
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
