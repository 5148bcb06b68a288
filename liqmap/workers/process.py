"""Prepare a worker process, and end it with its parent."""

from __future__ import annotations

import gc
import importlib
import os
import signal
import threading
from multiprocessing import connection, parent_process

from liqmap.memory import give_back_memory, tune_memory


def prepare_process() -> None:
    """Prepare a new worker process: ignore Ctrl-C, exit with the parent, and import what drawing needs."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    if parent is not None:
        # A killed parent cannot stop its workers, and their queue is never closed.
        threading.Thread(target=_exit_with, args=(parent.sentinel,), daemon=True).start()
    tune_memory()
    # What is imported stays: looking through it for garbage meanwhile takes a twelfth of the start.
    gc.disable()
    importlib.import_module("liqmap.render")
    gc.freeze()
    gc.enable()
    # Beside the first job, which rarely needs them.
    threading.Thread(target=_find_fonts, daemon=True).start()


def _find_fonts() -> None:
    importlib.import_module("liqmap.render.fonts").find_fonts()
    # A thread may take memory from a heap of its own, which the others do not use.
    give_back_memory()


def _exit_with(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(1)
