"""A worker process: how it is made ready, and how it ends with its parent."""

from __future__ import annotations

import importlib
import os
import signal
import threading
from multiprocessing import connection, parent_process

from liqmap.memory import tune_memory


def prepare_process() -> None:
    """Make a new worker process ready: deaf to Ctrl-C, gone when its parent is, and warm."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    if parent is not None:
        # A killed parent cannot tell its workers to stop, and their queue never reaches its end.
        threading.Thread(target=_exit_with, args=(parent.sentinel,), daemon=True).start()
    tune_memory()
    importlib.import_module("liqmap.render")


def _exit_with(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(1)
