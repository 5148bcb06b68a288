"""Run the bot as `python -m bot` or `liqmap-bot`."""

import gc
import os
import sys


def main() -> int:
    """Run the bot, and return its exit code."""
    # No matrix is multiplied here. NumPy's library for that would start a thread for each core, in every
    # worker too, and each of them looks busily for work for a while: a tenth of a second of CPU time.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # What is imported stays. Looking through it for garbage again and again, while it is imported and later,
    # takes a seventh of the start, and delays answers now and then.
    gc.disable()
    from bot.app import main as run  # noqa: PLC0415 - see above

    gc.freeze()
    gc.enable()
    return run()


# Worker processes import this module again, so it does nothing of its own.
if __name__ == "__main__":
    sys.exit(main())
