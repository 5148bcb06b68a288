import io

import numpy as np
import pytest
from PIL import Image

from liqmap.model import Theme
from liqmap.render.canvas import Box, Canvas, text_box
from liqmap.render.fonts import text_width
from liqmap.render.style import PALETTES


def opened(png: bytes) -> Image.Image:
    return Image.open(io.BytesIO(png)).convert("RGB")


def test_boxes_overlap_only_if_they_share_area():
    box = Box(0, 0, 10, 10)
    assert box.overlaps(Box(9, 9, 20, 20))
    assert not box.overlaps(Box(10, 0, 20, 10))
    assert not box.overlaps(Box(0, 11, 10, 12))
    assert (box.width, box.height) == (10, 10)


def test_box_lies_in_another_that_it_does_not_leave():
    box = Box(0, 0, 10, 10)
    assert box.lies_in(box)
    assert Box(1, 1, 9, 9).lies_in(box)
    assert not Box(1, 1, 11, 9).lies_in(box)
    assert not Box(1, -1, 9, 9).lies_in(box)


def test_png_has_the_canvas_size_and_its_background():
    image = opened(Canvas(200, 100, background="#102030").png())
    assert image.size == (200, 100)
    assert image.getpixel((5, 5)) == (0x10, 0x20, 0x30)


def test_shapes_land_on_their_pixels_counted_from_below():
    canvas = Canvas(200, 100, background="#000000")
    canvas.rectangle(Box(10, 20, 30, 40), "#ff0000")
    low, high = np.array([100.0]), np.array([150.0])
    canvas.rectangles(low, np.array([60.0]), high, np.array([90.0]), "#00ff00")
    image = opened(canvas.png())
    assert image.getpixel((20, 100 - 30)) == (255, 0, 0)
    assert image.getpixel((20, 30)) == (0, 0, 0)
    assert image.getpixel((125, 100 - 75)) == (0, 255, 0)
    assert image.getpixel((99, 100 - 75)) == (0, 0, 0)


def test_later_drawing_covers_earlier_drawing():
    canvas = Canvas(100, 100, background="#000000")
    canvas.line([0, 100], [50, 50], "#00ff00", width=9)
    canvas.rectangle(Box(0, 0, 100, 100), "#ff0000")
    assert opened(canvas.png()).getpixel((50, 50)) == (255, 0, 0)


def test_circles_are_rings_of_their_radius():
    canvas = Canvas(100, 100, background="#000000")
    canvas.circles(np.array([50.0]), np.array([50.0]), "#ffffff", radius=20, width=4)
    pixels = np.asarray(opened(canvas.png()))
    assert pixels[50, 50].max() == 0
    assert pixels[50, 70].min() > 250  # the palette rounds a little
    assert pixels[30, 50].min() > 250


def test_text_is_anchored_and_keeps_its_box():
    canvas = Canvas(300, 100, background="#000000")
    left = canvas.text(150, 50, "word", "#ffffff", size=20)
    middle = canvas.text(150, 50, "word", "#ffffff", size=20, anchor="m")
    right = canvas.text(150, 50, "word", "#ffffff", size=20, anchor="r", bold=True)
    assert left.left == 150
    assert (middle.left + middle.right) / 2 == 150
    assert right.right == 150
    assert left == text_box(150, 50, "word", size=20)
    assert text_width("word", size=20, bold=True) > text_width("word", size=20)
    box = np.asarray(opened(canvas.png()))[40:60, int(left.left) : int(left.right)]
    assert box.max() > 250


def test_faint_text_shows_the_background():
    canvas = Canvas(300, 100, background="#000000")
    canvas.text(150, 50, "████", "#ffffff", size=40, anchor="m", opacity=0.5)
    assert 100 < np.asarray(opened(canvas.png())).max() < 150


def test_the_same_canvas_is_the_same_png():
    def drawn() -> bytes:
        canvas = Canvas(300, 100, background="#123456")
        canvas.line(np.arange(300), 50 + 40 * np.sin(np.arange(300)), "#fedcba", dashes=(4, 2))
        canvas.area([0, 100, 50], [0, 0, 50], "#00ff00", opacity=0.5, hatch=("//", "#ffffff"))
        canvas.text(10, 50, "text", "#ffffff", size=20, halo="#000000")
        return canvas.png()

    assert drawn() == drawn()


@pytest.mark.parametrize("theme", Theme)
def test_panel_stands_out_from_the_background_in_the_image_s_few_colours(theme: Theme):
    # The colours are chosen by the highest bits of each channel, which two near colours can share.
    palette, canvas = PALETTES[theme], Canvas(300, 300, background=PALETTES[theme].background)
    canvas.rectangle(Box(50, 50, 250, 250), palette.panel)
    canvas.line([50, 250], [150, 150], palette.grid, width=6)
    canvas.text(60, 200, "letters of many shades", palette.text, size=20)
    image = opened(canvas.png())
    places = ((10, 10), (60, 240), (150, 150))
    for place, colour in zip(places, (palette.background, palette.panel, palette.grid), strict=True):
        found = np.array(image.getpixel(place), int)
        assert np.abs(found - np.array(list(bytes.fromhex(colour[1:])))).max() <= 5, colour
