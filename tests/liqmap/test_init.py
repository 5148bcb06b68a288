from __future__ import annotations

import subprocess
import sys

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
    heavy = {"matplotlib", "PIL", "pandas", "pyarrow.compute"}
    code = f"import sys, liqmap.cli.main, bot.app; print({heavy} & {{*sys.modules}})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603
    assert done.stdout == "set()\n"


def test_worker_process_goes_without_network_and_settings():
    code = "import sys, liqmap.run.job; print({'aiohttp', 'pydantic', 'pandas'} & {*sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603
    assert done.stdout == "set()\n"
