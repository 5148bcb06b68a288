from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import liqmap
from liqmap.run.engine import Engine


def test_public_names_are_all_there():
    assert {name for name in liqmap.__all__ if not hasattr(liqmap, name)} == set()
    assert liqmap.Engine is Engine


def test_unknown_name_raises_an_attribute_error():
    with pytest.raises(AttributeError, match="'liqmap' has no attribute 'Motor'"):
        getattr(liqmap, "Motor")  # noqa: B009 - a type checker would refuse the plain attribute


def test_process_that_hands_out_jobs_does_not_import_drawing():
    heavy = {
        "matplotlib",
        "PIL",
        "pandas",
        "pyarrow.compute",
        "numpy.random",
        "distributed",
        "jinja2",
        "rich",
        "alembic",
        "bot.ops.backup",
        "bot.ops.check",
    }
    commands = ", ".join(
        f"liqmap.cli.{name}" for name in ("map", "brackets", "check", "ledger", "record", "scan")
    )
    code = f"import sys, {commands}, bot.app; print({heavy} & {{*sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603
    assert done.stdout == "set()\n"


def test_bot_imports_neither_a_web_server_nor_a_database_that_its_settings_do_not_name():
    unneeded = {
        *("aiohttp.web", "bot.ops.pages"),
        *("sqlalchemy.dialects.postgresql", "asyncpg"),
        *("bot.store.steps", "alembic", "filelock.asyncio"),
    }
    code = f"import sys, bot.app; print({unneeded} & {{*sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603
    assert done.stdout == "set()\n"


STARTED = """
import os, sys
from bot.__main__ import main
assert "numpy" not in sys.modules  # which reads the number of threads when it is imported
sys.argv[1:] = ["--version"]
try:
    main()
finally:
    print(os.environ["OPENBLAS_NUM_THREADS"])
"""


def test_bot_and_its_workers_start_no_threads_for_matrices_that_nobody_multiplies():
    environment = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
    done = subprocess.run(  # noqa: S603 - our own script
        [sys.executable, "-c", STARTED], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "1"


def test_worker_process_goes_without_network_and_settings():
    code = "import sys, liqmap.run.job; print({'aiohttp', 'pydantic', 'pandas'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603
    assert done.stdout == "set()\n"


def test_map_of_stored_trades_loads_neither_network_nor_simulator_nor_what_only_others_need(tmp_path: Path):
    (tmp_path / "liqmap.toml").write_text('storage.path = "store"')
    words = ["DOGEUSDT", "6h", "--end", "2023-08-01 06:00", "--simulated", "--config", "liqmap.toml"]
    unneeded = {
        *("aiohttp", "tenacity", "liqmap.simulator", "liqmap.cli.record", "liqmap.cli.scan"),
        *("pandas", "pyarrow.compute", "numpy.random", "matplotlib.pyplot"),
        *("distributed", "jinja2", "pygments", "rich"),
    }
    code = f"""
import sys
from liqmap.cli.main import main
if __name__ == "__main__":  # a worker process imports this, too
    assert main({words}) == 0
    print({unneeded} & {{*sys.modules}})
"""
    (tmp_path / "draw.py").write_text(code)
    first, then = (
        subprocess.run([sys.executable, "draw.py"], cwd=tmp_path, capture_output=True, text=True, check=True)
        for _ in range(2)
    )
    assert "aiohttp" in first.stdout
    assert then.stdout.splitlines()[-1] == "set()"
