"""Run the bot as `python -m bot`."""

# Worker processes import this module again, so it does nothing of its own.
if __name__ == "__main__":
    import sys

    from bot.app import main

    sys.exit(main())
