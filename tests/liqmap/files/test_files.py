from __future__ import annotations

import errno
import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from liqmap import files
from liqmap.errors import RequestError
from liqmap.files import file_stem, half_size, make_folder, replace_file, write_file
from liqmap.model import (
    Exchange,
    GrossValue,
    LevelFilter,
    MapRequest,
    MarginModel,
    Market,
    Portion,
    Selection,
    Theme,
    TopN,
)
from liqmap.model.window import TimeWindow
from tests.conftest import BTCUSDT

WINDOW = TimeWindow.ending(datetime(2023, 8, 1, 6, tzinfo=UTC), timedelta(hours=6))


@pytest.mark.parametrize(
    ("selection", "ending"),
    [
        (TopN(100), "top_n_100"),
        (GrossValue(100_000.0), "gross_value_100000"),
        (GrossValue(0.5), "gross_value_0.5"),
        (Portion(0.01), "portion_0.01"),
    ],
)
def test_stem_is_the_seed_library_s(selection: Selection, ending: str):
    request = MapRequest(BTCUSDT, WINDOW, selection)
    assert file_stem(request) == f"BTCUSDT_2023-08-01_00-00-00-2023-08-01_06-00-00_{ending}"


BYBIT = (Market(Exchange.BYBIT, "BTCUSDT"),)


@pytest.mark.parametrize(
    ("changes", "ending"),
    [
        ({"markets": BYBIT, "model": MarginModel.EXCHANGE}, "top_n_100_bybit"),
        ({"model": MarginModel.SIMPLE}, "top_n_100_simple"),
        ({"markets": BYBIT, "model": MarginModel.BINANCE}, "top_n_100_bybit_binance"),
        ({"leverages": (5, 20), "weights": ()}, "top_n_100_5x_20x"),
        ({"weights": (35.0, 30.0, 20.0, 1.0)}, "top_n_100_10x35_25x30_50x20_100x"),
        ({"levels": LevelFilter.ALL, "theme": Theme.LIGHT}, "top_n_100_all-levels_light"),
    ],
)
def test_stem_has_the_options_that_differ_from_their_defaults(changes: dict[str, Any], ending: str):
    request = replace(MapRequest(BTCUSDT, WINDOW, TopN(100)), **changes)
    assert file_stem(request).endswith(ending)


def test_file_is_written_into_a_new_folder_and_replaced(tmp_path: Path):
    path = tmp_path / "a" / "b" / "map.png"
    write_file(path, b"first")
    write_file(path, b"second")
    assert path.read_bytes() == b"second"
    assert list(path.parent.iterdir()) == [path]


def test_file_that_cannot_be_written_is_one_sentence_and_leaves_nothing(tmp_path: Path):
    (tmp_path / "map.png").mkdir()
    with pytest.raises(RequestError, match=r"^map\.png cannot be written \(.+\); choose another folder\.$"):
        write_file(tmp_path / "map.png", b"content")
    assert [path.name for path in tmp_path.iterdir()] == ["map.png"]


def test_folder_that_is_a_file_is_one_sentence_that_names_it(tmp_path: Path):
    folder = tmp_path / "out"
    folder.write_bytes(b"")
    sentence = f"No files can be written into the folder {folder} (File exists); choose another folder."
    for attempt in (lambda: make_folder(folder), lambda: write_file(folder / "map.png", b"content")):
        with pytest.raises(RequestError) as caught:
            attempt()
        assert str(caught.value) == sentence


def test_folder_into_which_nothing_may_be_written_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def refused(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(files, "TemporaryFile", refused)
    with pytest.raises(RequestError, match="Permission denied"):
        make_folder(tmp_path)


def test_folder_is_made_and_left_empty(tmp_path: Path):
    make_folder(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []


def test_full_disk_keeps_the_former_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "map.png"
    write_file(path, b"former")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("liqmap.files._give_name", full)
    with pytest.raises(RequestError, match="No space left on device"):
        write_file(path, b"newer")
    assert path.read_bytes() == b"former"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(("size", "half"), [((400, 300), (200, 150)), ((401, 1), (200, 1)), ((1, 1), (1, 1))])
def test_picture_at_half_its_size_is_a_picture_of_fewer_bytes(size: tuple[int, int], half: tuple[int, int]):
    whole = BytesIO()
    Image.radial_gradient("L").resize(size).convert("RGB").save(whole, "PNG")
    small = half_size(whole.getvalue())
    with Image.open(BytesIO(small)) as picture:
        assert (picture.format, picture.size) == ("PNG", half)
    if size == (400, 300):  # the table of colours is longer than the smallest pictures
        assert len(small) < len(whole.getvalue()) / 3


def test_half_written_files_of_long_ago_are_removed_by_the_next_write(tmp_path: Path):
    old, fresh, other = (tmp_path / name for name in (f".{'a' * 32}.part", f".{'b' * 32}.part", "mine.part"))
    for path in (old, fresh, other):
        path.write_bytes(b"half")
    for path in (old, other):
        os.utime(path, (0, 0))
    write_file(tmp_path / "whole.txt", b"whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == [fresh.name, "mine.part", "whole.txt"]


def test_file_has_no_name_before_it_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path, link, seen = tmp_path / "whole.txt", os.link, list[list[str]]()
    path.write_bytes(b"before")

    def look_and_link(source: Path, name: str, **folders: int) -> None:
        seen.append([each.name for each in tmp_path.iterdir()])
        link(source, name, **folders)  # type: ignore[arg-type] # folders by descriptor

    monkeypatch.setattr(os, "link", look_and_link)
    replace_file(path, b"after", mode=0o600)
    assert seen == [["whole.txt"]]  # a process killed until here leaves nothing
    assert path.read_bytes() == b"after"
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("lacking", ["O_TMPFILE", "file system"])
def test_file_is_whole_where_every_file_has_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lacking: str
):
    opened = os.open

    def without_unnamed(path: Path, flags: int, *rest: int) -> int:
        if Path(path).is_dir() and flags & os.O_WRONLY:
            raise OSError(errno.EOPNOTSUPP, "Operation not supported")
        return opened(path, flags, *rest)

    if lacking == "O_TMPFILE":
        monkeypatch.delattr(os, "O_TMPFILE")
    else:
        monkeypatch.setattr(os, "open", without_unnamed)
    replace_file(tmp_path / "whole.txt", b"whole", sync=True)
    assert [(each.name, each.read_bytes()) for each in tmp_path.iterdir()] == [("whole.txt", b"whole")]
    with pytest.raises(IsADirectoryError):
        replace_file(tmp_path, b"whole")
    assert [each.name for each in tmp_path.iterdir()] == ["whole.txt"]
