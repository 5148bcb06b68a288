from __future__ import annotations

import io
from collections.abc import Callable
from types import ModuleType

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def png(loaded_anew: Callable[[str], ModuleType]) -> ModuleType:
    return loaded_anew("liqmap.render.png")


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
