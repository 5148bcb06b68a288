"""Run the command line as `python -m liqmap`."""

# Worker processes import this module again, so it does nothing of its own.
if __name__ == "__main__":
    import sys

    from liqmap.cli.main import main

    sys.exit(main())
