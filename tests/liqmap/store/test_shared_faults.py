"""A shared store that does not answer, loses things, or is far away."""

from __future__ import annotations

import asyncio
import errno
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from liqmap.errors import SettingsError, SharedStoreAway
from liqmap.model import Exchange, MapRequest, Picture, TopN
from liqmap.model.window import TimeWindow
from liqmap.run.engine import Engine
from liqmap.settings import NetworkSettings, Settings, StorageSettings
from liqmap.simulator import MarketServer, SimulatedMarket
from liqmap.store.bounded import AT_ONCE, AWAY_FOR, BoundedCalls, Operation
from liqmap.store.objects import Objects
from liqmap.store.places import open_place
from liqmap.store.segments import MANIFEST, Origin, Segment, open_segment, segment_path
from liqmap.store.shared import SharedStore
from liqmap.store.writer import write_segment
from tests.conftest import BTCUSDT
from tests.forwarding import forwarding
from tests.liqmap.conftest import Stored, random_trades, trades_from
from tests.liqmap.store.test_shared import elsewhere, sharing

MIDNIGHT = datetime(2023, 8, 2, tzinfo=UTC)
REQUEST = MapRequest(BTCUSDT, TimeWindow.ending(MIDNIGHT - timedelta(hours=18), timedelta(hours=6)), TopN(10))


@pytest.fixture
def black_hole(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Let no request to a store be answered until the event is set."""
    answers = threading.Event()
    for name in ("sizes", "read", "write", "put"):
        ask: Callable[..., Any] = getattr(Objects, name)

        def wait(*arguments: Any, ask: Callable[..., Any] = ask, **options: Any) -> Any:
            answers.wait()
            return ask(*arguments, **options)

        monkeypatch.setattr(Objects, name, wait)
    yield answers
    answers.set()


def recorded(root: Path, start: datetime, length: timedelta) -> Segment:
    """Store two trades of a recorded span."""
    window = TimeWindow(start, start + length)
    trades = trades_from([(10, 100.0, 1.0, "buy"), (20, 101.0, 2.0, "sell")], start_ms=window.start_ms)
    origin = Origin(Exchange.BINANCE, "BTCUSDT", window, "stream", "")
    path = segment_path(root, origin.exchange, origin.symbol, window)
    return write_segment(path, origin, trades, incoming=root / "incoming")


def until_now(root: Path) -> list[Segment]:
    """Store what a map of 24 hours until 22:31 reads of today: 22 hours and 31 minutes."""
    hours = [recorded(root, MIDNIGHT + timedelta(hours=each), timedelta(hours=1)) for each in range(22)]
    late = MIDNIGHT + timedelta(hours=22)
    return hours + [
        recorded(root, late + timedelta(minutes=each), timedelta(minutes=1)) for each in range(31)
    ]


def test_store_that_does_not_answer_is_given_up_and_asked_no_more_for_a_while(
    tmp_path: Path, stored: Stored, black_hole: threading.Event
):
    shared, segment = SharedStore(str(tmp_path / "shared"), silence=0.02), stored(random_trades(100))
    with pytest.raises(SharedStoreAway, match="The shared store does not answer; try again"):
        shared.publish([segment])
    assert shared.is_away
    threads = threading.active_count()
    with pytest.raises(SharedStoreAway):
        shared.bring_in_day(elsewhere(tmp_path, segment), incoming=tmp_path / "incoming")
    assert threading.active_count() <= threads
    black_hole.set()


def test_store_that_is_back_is_found_by_one_operation_while_the_others_go_on():
    now = [0.0]
    seen: list[tuple[float, bool]] = []
    calls = BoundedCalls(silence=0.02, observe=lambda *each: seen.append(each), steady=lambda: now[0])
    refusals = ["AWS Error NETWORK_CONNECTION during HeadObject operation: curlCode: 7, no connection"]

    def ask(_: Operation) -> str:
        if refusals:
            raise OSError(refusals.pop())
        return "there"

    with pytest.raises(SharedStoreAway):
        calls.run(ask)
    now[0] = AWAY_FOR - 1
    with pytest.raises(SharedStoreAway):
        calls.run(ask)
    now[0] = AWAY_FOR + 1
    assert not calls.is_away  # an idle bot's alarm ends

    def ask_while_another_asks(operation: Operation) -> str:
        with pytest.raises(SharedStoreAway):
            calls.run(ask)
        return ask(operation)

    assert calls.run(ask_while_another_asks) == "there"
    assert not calls.is_away
    assert [succeeded for _, succeeded in seen] == [False, True]


def test_error_of_a_store_that_refuses_is_not_its_own_cause():
    def refuse(_: Operation) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space") as caught:
        BoundedCalls(silence=1.0).run(refuse)
    assert caught.value.__cause__ is None


def test_slow_store_that_goes_on_answering_is_not_given_up():
    now = [0.0]
    calls = BoundedCalls(silence=10.0, steady=lambda: now[0])

    def upload(operation: Operation) -> str:
        for _ in range(5):
            now[0] += 9
            operation.progress()
        return "done"

    assert calls.run(upload) == "done"


async def test_map_is_drawn_while_the_shared_store_does_not_answer(
    tmp_path: Path, black_hole: threading.Event, caplog: pytest.LogCaptureFixture
):
    async with MarketServer(SimulatedMarket(scale=0.005)) as server:
        settings = sharing(
            server.redirect(Settings(storage=StorageSettings(path=tmp_path / "store", shared_timeout=0.05))),
            str(tmp_path / "shared"),
        )
        with ThreadPoolExecutor(1) as executor:
            async with Engine(settings, executor=executor) as engine:
                result = await engine.draw(REQUEST)
                assert engine.shared_is_away
                # The loop's own threads are free: what hangs has threads of its own.
                assert await asyncio.wait_for(asyncio.to_thread(int, "7"), 10) == 7
    black_hole.set()
    assert result.pictures[Picture.MAP].startswith(b"\x89PNG")
    assert "The shared store does not answer; try again in a few minutes." in caplog.messages


def test_recorded_hours_come_back_from_packs(tmp_path: Path):
    segments = until_now(tmp_path / "store")
    shared = SharedStore(str(tmp_path / "shared"))
    keys = shared.publish(segments)
    assert len(set(keys.values())) == 23
    assert len(list((tmp_path / "shared").rglob("*.tar"))) == 23
    places = {elsewhere(tmp_path, each): keys[each.path] for each in segments}
    assert shared.bring_in(places, incoming=tmp_path / "other" / "incoming") == []
    for each in segments:
        found = open_segment(elsewhere(tmp_path, each))
        assert found is not None
        assert (found.origin, found.checks) == (each.origin, each.checks)


def test_pack_of_an_hour_is_read_once_for_all_that_is_lacking_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    minute = timedelta(minutes=1)
    segments = [recorded(tmp_path, MIDNIGHT + number * minute, minute) for number in range(5)]
    SharedStore(str(tmp_path / "shared")).publish(segments)
    reads, read = list[str](), Objects.read

    def counted(self: Objects, key: str, *, progress: Callable[[], object]) -> bytes:
        reads.append(key)
        return read(self, key, progress=progress)

    monkeypatch.setattr(Objects, "read", counted)
    lacking = [segments[1].origin.window, segments[3].origin.window]
    market = elsewhere(tmp_path, segments[0]).parent
    shared = SharedStore(str(tmp_path / "shared"))
    shared.bring_in_recorded(market, lacking, incoming=tmp_path / "other" / "incoming")
    assert len(reads) == 1
    assert sorted(path.name for path in market.iterdir()) == [segments[each].path.name for each in (1, 3)]


@pytest.mark.parametrize("damage", ["missing", "cut", "garbage", "another pack's"])
def test_damaged_pack_gives_nothing_and_is_written_again(tmp_path: Path, damage: str):
    segments = until_now(tmp_path / "store")[20:]
    shared = SharedStore(str(tmp_path / "shared"))
    keys = shared.publish(segments)
    key = keys[segments[0].path]
    pack = tmp_path / "shared" / key
    whole = pack.read_bytes()
    match damage:
        case "missing":
            pack.unlink()
        case "cut":
            pack.write_bytes(whole[:700])
        case "garbage":
            pack.write_bytes(bytes(len(whole)))
        case _:
            pack.write_bytes((tmp_path / "shared" / keys[segments[1].path]).read_bytes())
    places = {elsewhere(tmp_path, each): keys[each.path] for each in segments}
    incoming = tmp_path / "other" / "incoming"
    assert shared.bring_in(places, incoming=incoming) == [elsewhere(tmp_path, segments[0])]
    shared.distrust([key])
    shared.publish(segments)
    assert pack.read_bytes() == whole
    assert shared.bring_in(places, incoming=incoming) == []


def test_packs_are_removed_once_their_day_is_there(tmp_path: Path, stored: Stored):
    shared, day = SharedStore(str(tmp_path / "shared")), stored(random_trades(100))
    start = day.origin.window.start
    shared.publish(
        [recorded(tmp_path, start + timedelta(hours=each), timedelta(hours=1)) for each in range(3)]
    )
    kept = shared.publish([recorded(tmp_path, start + timedelta(days=1), timedelta(hours=1))])
    shared.publish([day])
    assert [path.name for path in (tmp_path / "shared").rglob("*.tar")] == [
        key.rpartition("/")[2] for key in kept.values()
    ]


def test_day_that_another_bot_is_uploading_is_not_uploaded_again(
    tmp_path: Path, stored: Stored, monkeypatch: pytest.MonkeyPatch
):
    day, uploads = stored(random_trades(100)), Counter[str]()
    put, write = Objects.put, Objects.write

    def written(self: Objects, key: str, content: bytes) -> None:
        uploads[MANIFEST] += key.endswith(MANIFEST)
        write(self, key, content)

    def counted(self: Objects, source: Path, key: str, **options: Any) -> None:
        uploads[source.name] += 1
        if uploads.total() == 1:
            SharedStore(str(tmp_path / "shared")).publish([day])
        put(self, source, key, **options)

    monkeypatch.setattr(Objects, "put", counted)
    monkeypatch.setattr(Objects, "write", written)
    SharedStore(str(tmp_path / "shared")).publish([day])
    SharedStore(str(tmp_path / "shared")).publish([day])
    assert len(uploads) == 5
    assert set(uploads.values()) == {1}


def test_days_are_looked_for_side_by_side(tmp_path: Path, stored: Stored, monkeypatch: pytest.MonkeyPatch):
    days = [stored(random_trades(10), date(2023, 8, day)) for day in range(1, 11)]
    together, sizes = threading.Barrier(len(days)), Objects.sizes

    def met(self: Objects, folder: str) -> dict[str, int]:
        together.wait(30)
        return sizes(self, folder)

    SharedStore(str(tmp_path / "shared")).publish(days)
    monkeypatch.setattr(Objects, "sizes", met)
    SharedStore(str(tmp_path / "shared")).publish(days)


def test_more_days_than_requests_at_once_are_all_published(tmp_path: Path, stored: Stored):
    first = date(2023, 8, 1)
    days = [stored(random_trades(10), first + timedelta(days=each)) for each in range(AT_ONCE + 8)]
    SharedStore(str(tmp_path / "shared")).publish(days)
    for day in days:
        shared, path = SharedStore(str(tmp_path / "shared")), elsewhere(tmp_path, day)
        assert shared.bring_in_day(path, incoming=tmp_path / "incoming")


@pytest.mark.s3
def test_map_until_now_costs_few_requests(
    tmp_path: Path, stored: Stored, s3_url: str, monkeypatch: pytest.MonkeyPatch
):
    """A request of 20 ms, as many side by side as a process makes: less than a second in all."""
    from werkzeug.serving import WSGIRequestHandler  # noqa: PLC0415 - comes with moto

    requests: list[str] = []
    monkeypatch.setattr(WSGIRequestHandler, "log_request", lambda self, *_: requests.append(self.command))
    segments = [*until_now(tmp_path / "store"), stored(random_trades(1000))]
    url = s3_url.replace("PREFIX", tmp_path.name)
    batches: list[int] = []
    together = Operation.together

    def counted(self: Operation, calls: Any) -> Any:
        batches.append(len(calls))
        return together(self, calls)

    monkeypatch.setattr(Operation, "together", counted)
    keys = SharedStore(url).publish(segments)
    published, uploads = len(requests), sum(batches)
    places = {elsewhere(tmp_path, each): keys[each.path] for each in segments}
    assert SharedStore(url).bring_in(places, incoming=tmp_path / "other" / "incoming") == []
    assert len(batches) >= 4
    # Of 53 segments of five files each: an object for each hour, and the day's five.
    assert uploads < 40
    assert published < 50
    assert len(requests) - published < 70
    rounds = 10 + 2 * sum(-(-each // 32) for each in batches)
    assert rounds * 0.020 < 1


@pytest.mark.s3
async def test_bucket_is_reached_through_the_proxy(tmp_path: Path, stored: Stored, s3_url: str):
    place = parse_qs(urlsplit(s3_url).query)["endpoint_override"][0]
    url = s3_url.replace(place, "s3.amazonaws.com").replace("PREFIX", tmp_path.name)
    day = stored(random_trades(100))
    async with forwarding({"s3.amazonaws.com": int(place.rpartition(":")[2])}) as proxy:
        network = NetworkSettings.model_validate({"proxy": proxy.url})
        shared = SharedStore(url, proxy_for=network.proxy_for)
        await asyncio.to_thread(shared.publish, [day])
        path = elsewhere(tmp_path, day)
        found = await asyncio.to_thread(shared.bring_in_day, path, incoming=tmp_path / "incoming")
    assert found is not None
    assert found.checks == day.checks
    assert proxy.denied == 0
    assert any(address.startswith("http://s3.amazonaws.com/trades/") for address in proxy.seen)


def test_bucket_without_its_region_behind_a_proxy_is_a_sentence(monkeypatch: pytest.MonkeyPatch):
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(SettingsError, match=r"s3://bucket/prefix\?region="):
        open_place("s3://bucket/prefix", proxy_for=lambda _: "http://proxy.test:3128")
