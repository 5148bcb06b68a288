"""Run the bot as `python -m bot` or `liqmap-bot`."""

import gc
import sys


def main() -> int:
    """Run the bot, and return its exit code."""
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
