"""Files that a drawn map leaves behind: their names, and writing each whole or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

from liqmap.errors import RequestError

if TYPE_CHECKING:
    from pathlib import Path

    from liqmap.model import MapRequest, MapResult


def file_stem(request: MapRequest) -> str:
    """Return the name that py-liquidation-map gives a map: BTCUSDT_<start>-<end>_top_n_100."""
    start, end = (f"{moment:%Y-%m-%d_%H-%M-%S}" for moment in (request.window.start, request.window.end))
    return f"{request.symbol}_{start}-{end}_{request.selection.mode}_{request.selection.value}"


def write_images(result: MapResult, folder: Path) -> tuple[Path, Path]:
    """Write both pictures into `folder`, made if need be; return the map's and the depth's path.

    Raises RequestError if that is not possible.
    """
    stem = file_stem(result.request)
    paths = folder / f"{stem}.png", folder / f"{stem}_depth.png"
    for path, content in zip(paths, (result.map_png, result.depth_png), strict=True):
        write_file(path, content)
    return paths


def write_file(path: Path, content: bytes) -> None:
    """Write `content` to `path`, whole or not at all. Raises RequestError if that is not possible."""
    partial = path.with_name(f".{uuid4().hex}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            partial.write_bytes(content)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise RequestError(
            f"{path.name} cannot be written ({error.strerror}); choose another folder."
        ) from error
