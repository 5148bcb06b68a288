from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from liqmap.errors import SettingsError, StoreError
from liqmap.model import MapRequest, Picture, TopN
from liqmap.model.window import TimeWindow
from liqmap.run.engine import Engine
from liqmap.settings import Settings, StorageSettings
from liqmap.simulator import MarketServer, SimulatedMarket
from liqmap.store.bounded import Operation
from liqmap.store.segments import MANIFEST, Segment, open_segment, segment_path
from liqmap.store.shared import SharedStore
from liqmap.store.writer import write_segment
from tests.conftest import BTCUSDT
from tests.liqmap.conftest import Stored, random_trades


@pytest.fixture(params=["folder", "file URL", pytest.param("s3", marks=pytest.mark.s3)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    match request.param:
        case "folder":
            return str(tmp_path / "shared")
        case "file URL":
            return (tmp_path / "shared").as_uri()
    url: str = request.getfixturevalue("s3_url")
    return url.replace("PREFIX", tmp_path.name)


@pytest.fixture
def segment(stored: Stored) -> Segment:
    return stored(random_trades(20_000))


def elsewhere(tmp_path: Path, segment: Segment) -> Path:
    """Return where another machine keeps the segment."""
    origin = segment.origin
    return segment_path(tmp_path / "other", origin.exchange, origin.symbol, origin.window)


def test_segment_is_the_same_bytes_on_another_machine(url: str, tmp_path: Path, segment: Segment):
    SharedStore(url).publish([segment])
    path = elsewhere(tmp_path, segment)
    found = SharedStore(url).bring_in_day(path, incoming=tmp_path / "other" / "incoming")
    assert found is not None
    assert found.origin == segment.origin
    for file in segment.path.iterdir():
        assert (path / file.name).read_bytes() == file.read_bytes()
    assert list((tmp_path / "other" / "incoming").iterdir()) == []


def test_missing_object_is_none(url: str, tmp_path: Path, segment: Segment):
    path = elsewhere(tmp_path, segment)
    assert SharedStore(url).bring_in_day(path, incoming=tmp_path / "other" / "incoming") is None
    assert not path.exists()


def test_segment_without_its_manifest_is_not_there_yet(
    url: str, tmp_path: Path, segment: Segment, monkeypatch: pytest.MonkeyPatch
):
    put = SharedStore._put

    def interrupted(self: SharedStore, operation: Operation, day: Segment, name: str) -> None:
        if name == MANIFEST:
            raise OSError("the connection is gone")
        put(self, operation, day, name)

    with monkeypatch.context() as patch:
        patch.setattr(SharedStore, "_put", interrupted)
        with pytest.raises(StoreError, match="refuses to store trades"):
            SharedStore(url).publish([segment])
    path, incoming = elsewhere(tmp_path, segment), tmp_path / "other" / "incoming"
    assert SharedStore(url).bring_in_day(path, incoming=incoming) is None
    # Whoever comes next completes it.
    SharedStore(url).publish([segment])
    assert SharedStore(url).bring_in_day(path, incoming=incoming) is not None


@pytest.mark.parametrize("before", ["minutes.arrow", MANIFEST])
def test_day_that_is_replaced_while_it_is_published_is_not_there_in_parts(
    tmp_path: Path,
    segment: Segment,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    before: str,
):
    put = SharedStore._put

    def replaced(self: SharedStore, operation: Operation, day: Segment, name: str) -> None:
        if name == before and not replacements:
            trades, incoming = random_trades(30_000, seed=2), tmp_path / "incoming"
            replacements.append(write_segment(day.path, day.origin, trades, incoming=incoming, replaces=True))
        put(self, operation, day, name)

    replacements: list[Segment] = []
    monkeypatch.setattr(SharedStore, "_put", replaced)
    url, incoming = str(tmp_path / "shared"), tmp_path / "other" / "incoming"
    with suppress(StoreError):
        SharedStore(url).publish([segment])
    assert SharedStore(url).bring_in_day(elsewhere(tmp_path, segment), incoming=incoming) is None
    SharedStore(url).publish(replacements, replaces=True)
    found = SharedStore(url).bring_in_day(elsewhere(tmp_path, segment), incoming=incoming)
    assert found is not None
    assert found.checks == replacements[0].checks
    assert "damaged" not in caplog.text


def test_second_to_bring_in_keeps_the_first_one_s(url: str, tmp_path: Path, segment: Segment):
    shared, path = SharedStore(url), elsewhere(tmp_path, segment)
    shared.publish([segment])
    shared.publish([segment])
    first, second = (shared.bring_in_day(path, incoming=tmp_path / "other" / "incoming") for _ in range(2))
    assert first == second == open_segment(path)


def sharing(settings: Settings, url: str) -> Settings:
    """Return settings with a shared store, which simulated markets have none of by themselves."""
    return settings.model_copy(update={"storage": settings.storage.model_copy(update={"shared_url": url})})


async def test_second_bot_has_its_days_from_the_first_one_and_not_from_the_exchange(url: str, tmp_path: Path):
    end = datetime(2023, 8, 1, 6, tzinfo=UTC)
    request = MapRequest(BTCUSDT, TimeWindow.ending(end, timedelta(hours=6)), TopN(10))
    results = []
    with ThreadPoolExecutor(2) as executor:
        for bot in ("first", "second"):
            async with MarketServer(SimulatedMarket(scale=0.005)) as server:
                settings = server.redirect(
                    Settings(storage=StorageSettings(path=tmp_path / bot, shared_url=url))
                )
                assert settings.storage.shared_url == ""
                settings = sharing(settings, url)
                async with Engine(settings, executor=executor) as engine:
                    results.append(await engine.draw(request))
                asked = sum(count for path, count in server.requests.items() if "aggTrades" in str(path))
    assert asked == 0
    assert results[0].pictures[Picture.MAP] == results[1].pictures[Picture.MAP]


@pytest.mark.parametrize("damage", ["cut", "another day's", "no JSON"])
def test_damaged_segment_is_not_used_and_said(
    tmp_path: Path, segment: Segment, damage: str, caplog: pytest.LogCaptureFixture
):
    SharedStore(str(tmp_path / "shared")).publish([segment])
    there = elsewhere(tmp_path, segment)
    there = tmp_path / "shared" / there.relative_to(tmp_path / "other")
    match damage:
        case "cut":
            os.truncate(there / "buy.arrow", 100)
        case "another day's":
            manifest = json.loads((there / MANIFEST).read_text())
            manifest["origin"]["symbol"] = "ETHUSDT"
            (there / MANIFEST).write_text(json.dumps(manifest))
        case "no JSON":
            (there / MANIFEST).write_text('{"origin"')
    caplog.set_level(logging.WARNING)
    path = elsewhere(tmp_path, segment)
    shared = SharedStore(str(tmp_path / "shared"))
    assert shared.bring_in_day(path, incoming=tmp_path / "other" / "incoming") is None
    assert "damaged" in caplog.text
    assert not path.exists()


@pytest.mark.parametrize("name", ["buy.arrow", MANIFEST])
def test_damaged_segment_is_replaced_by_a_machine_that_has_it_whole(
    tmp_path: Path, segment: Segment, name: str, caplog: pytest.LogCaptureFixture
):
    shared, path = SharedStore(str(tmp_path / "shared")), elsewhere(tmp_path, segment)
    shared.publish([segment])
    os.truncate(tmp_path / "shared" / path.relative_to(tmp_path / "other") / name, 10)
    SharedStore(str(tmp_path / "shared")).publish([segment])
    assert shared.bring_in_day(path, incoming=tmp_path / "other" / "incoming") is not None
    assert not caplog.records


def test_segment_found_damaged_is_published_again_by_the_same_process(tmp_path: Path, segment: Segment):
    shared = SharedStore(str(tmp_path / "shared"))
    shared.publish([segment])
    (there,) = (tmp_path / "shared").rglob("buy.arrow")
    os.truncate(there, 10)
    assert shared.bring_in_day(segment.path, incoming=tmp_path / "incoming") is None
    shared.publish([segment])
    assert there.read_bytes() == (segment.path / "buy.arrow").read_bytes()


def test_damage_of_unchanged_size_is_not_brought_in_and_is_replaced(tmp_path: Path, segment: Segment):
    shared = SharedStore(str(tmp_path / "shared"))
    shared.publish([segment])
    (there,) = (tmp_path / "shared").rglob("buy.arrow")
    there.write_bytes(bytes(there.stat().st_size))
    path = elsewhere(tmp_path, segment)
    assert shared.bring_in_day(path, incoming=tmp_path / "incoming") is None
    other = SharedStore(str(tmp_path / "shared"))
    assert other.bring_in_day(segment.path, incoming=tmp_path / "incoming") is None
    other.publish([segment])
    assert there.read_bytes() == (segment.path / "buy.arrow").read_bytes()


class Claimed:
    """A bucket of claims, all written in one second of its clock."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def write(self, key: str, _: bytes) -> None:
        self.names.append(key.rpartition("/")[2])

    def remove(self, key: str) -> None:
        self.names.remove(key.rpartition("/")[2])

    def times(self, _: str) -> dict[str, datetime]:
        return dict.fromkeys(self.names, datetime(2026, 1, 1, tzinfo=UTC))


def claiming(
    tmp_path: Path, bucket: Claimed, *, meanwhile: Callable[[], object] = int
) -> Callable[[str], bool]:
    store = SharedStore(str(tmp_path), pause=lambda _: meanwhile())
    store._objects = bucket  # type: ignore[assignment] # what claiming needs of it
    return lambda name: store._claims(f"claims/day/{name}")


def test_one_of_two_that_claim_in_one_second_puts_the_day_there(tmp_path: Path):
    bucket, outcomes = Claimed(), list[bool]()
    later = claiming(tmp_path, bucket)
    earlier = claiming(tmp_path, bucket, meanwhile=lambda: bucket.remove("b"))
    bucket.write("b", b"")  # of a bot that withdraws, because it sees that "a" is before it
    outcomes.append(earlier("a"))
    outcomes.append(later("c"))
    assert outcomes == [True, False]
    assert bucket.names == ["a"]


def test_who_claims_while_another_is_at_work_withdraws_though_it_would_be_first(tmp_path: Path):
    bucket = Claimed()
    assert claiming(tmp_path, bucket)("b")
    assert not claiming(tmp_path, bucket)("a")
    assert bucket.names == ["b"]


def test_half_written_files_of_a_shared_folder_are_removed_after_a_day(tmp_path: Path, segment: Segment):
    incoming = tmp_path / "shared" / "incoming"
    incoming.mkdir(parents=True)
    old, fresh = (incoming / f".{letter * 32}.part" for letter in "ab")
    for path, age in ((old, 2), (fresh, 0.5)):
        path.write_bytes(b"half")
        moment = time.time() - age * 86_400
        os.utime(path, (moment, moment))
    SharedStore(str(tmp_path / "shared")).publish([segment])
    assert list((tmp_path / "shared").rglob("*.part")) == [fresh]


def test_file_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, segment: Segment, monkeypatch: pytest.MonkeyPatch
):
    folder, synced = tmp_path / "shared", set[int]()

    def sync(descriptor: int) -> None:
        number = os.fstat(descriptor).st_ino
        assert number not in {path.stat().st_ino for path in folder.rglob("*") if path.suffix != ".part"}
        synced.add(number)

    monkeypatch.setattr(os, "fsync", sync)
    SharedStore(str(folder)).publish([segment])
    assert synced >= {path.stat().st_ino for path in folder.rglob("*") if path.is_file()}


def test_store_that_refuses_raises_one_sentence(tmp_path: Path, segment: Segment):
    (tmp_path / "shared").write_text("a file where a folder should be")
    shared = SharedStore(str(tmp_path / "shared"))
    with pytest.raises(StoreError, match="shared store refuses to store trades"):
        shared.publish([segment])
    with pytest.raises(StoreError, match="shared store cannot be read"):
        shared.bring_in_day(elsewhere(tmp_path, segment), incoming=tmp_path / "incoming")


@pytest.mark.parametrize("url", ["ftp://example.org/x", "s3://", "/srv/\0shared", "s3://[bucket/x"])
def test_url_of_no_store_is_a_sentence(url: str):
    with pytest.raises(SettingsError, match=r"Setting storage\.shared_url"):
        SharedStore(url)
