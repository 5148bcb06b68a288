"""Run the command line as `python -m liqmap` or `liqmap`."""

import gc
import sys


def main() -> int:
    """Run the command line, and return its exit code."""
    # What is imported stays until the end. Looking through it for garbage again and again, and once more at
    # the end, takes a sixth of a short command.
    gc.set_threshold(50_000)
    from liqmap.cli.main import main as run  # noqa: PLC0415 - see above

    code = run()
    gc.freeze()
    return code


# Worker processes import this module again, so it does nothing of its own.
if __name__ == "__main__":
    sys.exit(main())
