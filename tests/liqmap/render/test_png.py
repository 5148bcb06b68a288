from __future__ import annotations

import importlib.util
import io
import sys
from types import ModuleType

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(params=["with isal if it is there", "without isal"])
def png(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Load the module as on a processor for which there is a package of isal, and as on one without."""
    if request.param == "without isal":
        monkeypatch.setitem(sys.modules, "isal", None)
    spec = importlib.util.find_spec("liqmap.render.png")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("shape", [(1, 1), (3, 257), (900, 1600)])
@pytest.mark.parametrize("colours", [1, 160, 256])
def test_file_that_is_written_is_read_as_the_same_picture(
    png: ModuleType, shape: tuple[int, int], colours: int
):
    rng = np.random.default_rng(colours)
    numbers = rng.integers(0, colours, shape, dtype=np.uint8)
    numbers[: shape[0] // 2] = 0  # pictures are mostly plain
    image = Image.fromarray(numbers, "P")
    image.putpalette(rng.integers(0, 256, 3 * colours, dtype=np.uint8).tobytes())
    with Image.open(io.BytesIO(png.png_of(image)), formats=["PNG"]) as found:
        found.load()  # checks every chunk
        assert (found.mode, found.size) == ("P", image.size)
        assert np.array_equal(np.asarray(found), numbers)
        assert np.array_equal(np.asarray(found.convert("RGB")), np.asarray(image.convert("RGB")))
