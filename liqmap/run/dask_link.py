"""The link to a Dask scheduler: it reconnects for as long as it takes, and watches the workers."""

from __future__ import annotations

import asyncio
import logging
import ssl
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Self

import distributed

from liqmap.errors import LiqmapError, SettingsError
from liqmap.run.dask_worker import REPORTS, DrawingTrial, RemoteCall, build_id, resource_of, run_call

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from types import TracebackType

    from distributed import Future

    from liqmap.settings import EngineSettings

log = logging.getLogger(__name__)

Client = Any
"""A `distributed.Client`, which has types for a part of its methods only."""

_dask: Final[Any] = distributed

CONNECT_SECONDS: Final = 5.0
CLOSE_SECONDS: Final = 5.0
ANSWER_SECONDS: Final = 10.0
LOOK_SECONDS: Final = 1.0
FIRST_WAIT, LONGEST_WAIT = 1.0, 10.0


class DaskLink:
    """A connection to the scheduler of the settings. Use it as `async with DaskLink(settings) as link`.

    A lost connection is made again, after growing waits. `on_unfit` is called when a worker has become unfit,
    because waiting jobs may wait at that worker. `retired` counts workers that have become unfit.
    """

    def __init__(
        self,
        engine: EngineSettings,
        *,
        on_unfit: Callable[[], None],
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        self._engine = engine
        self._on_unfit = on_unfit
        self._sleep = sleep
        self._client: Client | None = None
        self._scheduler = ""
        self._topic = ""
        self._heard: dict[str, float] = {}  # when each worker reported last, by its own clock
        self._task: asyncio.Task[None] | None = None
        self._closings: set[asyncio.Task[None]] = set()
        self._started: dict[str, asyncio.Future[str]] = {}
        self.changed = asyncio.Event()
        """Set whenever the connection, or the number of workers, has changed."""
        self.build = build_id()
        self.workers = 0
        """Workers that draw for this build now."""
        self.retired = 0
        self.unfit: dict[str, str] = {}
        """Workers that draw nothing for now, and why."""

    async def __aenter__(self) -> Self:
        # The library logs tracebacks for what is logged here in one sentence.
        for name in ("distributed", "distributed.client"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        security_of(self._engine)  # a sentence now, instead of a connection that is never made
        self._task = asyncio.create_task(self._keep())
        await self.changed.wait()  # for the end of the first attempt
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await asyncio.gather(*self._closings, return_exceptions=True)

    @property
    def client(self) -> Client | None:
        """The connection, None while there is none."""
        return self._client

    def submit(
        self, client: Client, function: Callable[[Any], Any], argument: object, *, name: str
    ) -> Future[Any]:
        """Send a call to a worker that draws. Await `started` to know when it begins there."""
        self._started[name] = asyncio.get_running_loop().create_future()
        call = RemoteCall(function, argument, self.build, self._topic, name)
        resources = {resource_of(self.build): 1}
        future: Future[Any] = client.submit(run_call, call, key=name, pure=False, resources=resources)
        return future

    def started(self, name: str) -> asyncio.Future[str]:
        """Return the future address of the worker that a call runs on."""
        return self._started[name]

    def forget(self, name: str) -> None:
        """Forget a call that is over."""
        self._started.pop(name).cancel()

    async def stop(self, worker: str) -> None:
        """Restart a worker, with whatever runs on it."""
        if self._client is not None:
            with suppress(OSError, ValueError, TimeoutError):  # it is gone, or has no nanny to start it again
                await self._client.restart_workers([worker], raise_for_error=False)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Return once `condition` holds, which is looked at whenever connection or workers change."""
        while not condition():
            self.changed.clear()
            await self.changed.wait()

    async def look(self) -> None:
        """Count the workers that draw. Raises OSError if the connection is lost."""
        if self._client is not None:
            await self._count(self._client)

    async def _keep(self) -> None:
        wait, complaint = FIRST_WAIT, ""
        while True:
            # Whatever is raised, by the library too: without this task, nothing would be drawn there again.
            (failure,) = await asyncio.gather(self._connect_and_watch(), return_exceptions=True)
            if failure is None:
                wait, complaint = FIRST_WAIT, ""
                continue
            text = f"there is no Dask scheduler at {self._engine.dask_address}{_reason(failure)}"
            if text != complaint:
                log.warning("%s; it is tried again", text)
            complaint = text
            self.changed.set()
            await self._sleep(wait)
            wait = min(2 * wait, LONGEST_WAIT)

    async def _connect_and_watch(self) -> None:
        """Return once a connection was lost. Raises what keeps it from being made."""
        client = await self._connected()
        log.info("connected to the Dask scheduler at %s", self._engine.dask_address)
        try:
            (failure,) = await asyncio.gather(self._watch(client), return_exceptions=True)
        finally:
            self._client, self.workers = None, 0
            self.changed.set()
            await self._closed(client)
        log.warning("the Dask scheduler is gone%s; it is tried again", _reason(failure))

    async def _connected(self) -> Client:
        client: Client = _dask.Client(
            self._engine.dask_address,
            asynchronous=True,
            timeout=CONNECT_SECONDS,
            security=security_of(self._engine),
            set_as_default=False,
        )
        try:
            # The library limits the time for connecting, but not for the exchange of messages that follows.
            async with asyncio.timeout(2 * CONNECT_SECONDS):
                await client
                self._topic = f"liqmap-{client.id}"
                client.subscribe_topic(self._topic, self._hear_of_start)
                await client.register_plugin(_scheduler_rules())
                await client.register_plugin(DrawingTrial(self.build))
                scheduler = await self._count(client)
        except BaseException:
            await self._closed(client)
            raise
        self._client, self._scheduler = client, scheduler
        self.changed.set()
        return client

    async def _watch(self, client: Client) -> None:
        """Return once the connection is lost. Raises what the library does."""
        # Dask's client gives up for good after its timeout, and a new scheduler would lack the plugins.
        while client.status == "running" and await self._count(client) == self._scheduler:
            await self._sleep(LOOK_SECONDS)

    async def _count(self, client: Client) -> str:
        """Count the workers that draw, and return the scheduler's id."""
        async with asyncio.timeout(ANSWER_SECONDS):
            known = await client.scheduler.identity()
            self._hear_of_workers(await client.get_metadata([REPORTS], default={}))
            for gone in self.unfit.keys() - known["workers"].keys():
                del self.unfit[gone]
        resource = resource_of(self.build)
        workers = sum(
            # A worker that has not proved itself offers none of it.
            each["resources"].get(resource, 0) >= 1 and each["status"] == "running"
            for each in known["workers"].values()
        )
        if workers != self.workers:
            self.workers = workers
            self.changed.set()
        return str(known["id"])

    async def _closed(self, client: Client) -> None:
        """Close a connection, within a time."""
        # In a separate task: the library would take a cancellation of this task for one of its own.
        closing = asyncio.create_task(_close(client))
        self._closings.add(closing)
        closing.add_done_callback(self._closings.discard)
        await asyncio.shield(closing)

    def _hear_of_workers(self, reports: Mapping[str, tuple[float, str]]) -> None:
        """Log what workers have reported since the last time."""
        for worker, (at, unfit) in reports.items():
            if self._heard.get(worker) == at:
                continue
            self._heard[worker] = at
            self.unfit.pop(worker, None)
            if unfit:
                self.unfit[worker] = unfit
                self.retired += 1
                log.warning("the worker %s draws nothing for now: %s", worker, unfit)
                self._on_unfit()
            else:
                log.info("the worker %s has drawn its trial map", worker)

    def _hear_of_start(self, event: tuple[float, dict[str, str]]) -> None:
        started = self._started.get(event[1]["started"])
        if started is not None and not started.done():
            started.set_result(event[1]["worker"])


def security_of(engine: EngineSettings) -> Any:  # noqa: ANN401 - distributed.Security, or None
    """Return the certificates for a tls:// address, None for a plain one. Raises SettingsError."""
    if not engine.dask_address.startswith("tls://"):
        return None
    _check_certificates(engine)
    return _dask.Security(
        tls_ca_file=engine.dask_tls_ca,
        tls_client_cert=engine.dask_tls_cert,
        tls_client_key=engine.dask_tls_key,
        require_encryption=True,
    )


def _check_certificates(engine: EngineSettings) -> None:
    """Raise SettingsError unless the files of the settings can be used: Dask's own errors name no setting."""
    try:
        context = ssl.create_default_context(cafile=engine.dask_tls_ca)
    except OSError as error:
        raise SettingsError(
            f"Setting engine.dask_tls_ca: that file cannot be used ({_file_trouble(error)})."
        ) from error
    try:
        # With a password, because OpenSSL asks the terminal for that of an encrypted key otherwise.
        context.load_cert_chain(engine.dask_tls_cert, engine.dask_tls_key, password="")
    except OSError as error:
        raise SettingsError(
            "Settings engine.dask_tls_cert and engine.dask_tls_key: these files cannot be used"
            f" ({_file_trouble(error)}); the key must not be encrypted."
        ) from error


def _file_trouble(error: OSError) -> str:
    return (error.reason if isinstance(error, ssl.SSLError) else error.strerror) or type(error).__name__


def _reason(failure: BaseException | None) -> str:
    """Return, in brackets, why there is no connection, unless that is the network."""
    if failure is None or isinstance(failure, OSError):
        return ""
    return f" ({failure.problem if isinstance(failure, LiqmapError) else repr(failure)})"


def _scheduler_rules() -> distributed.SchedulerPlugin:
    """Return the rules by which a scheduler handles the jobs.

    A job that has killed two workers is given up. A job that found no worker is offered again and again: the
    library itself does so only when a worker joins, not when one offers its resource later.
    """

    # Local, so that it is sent as code: the scheduler's machine needs no liqmap.
    class Rules(distributed.SchedulerPlugin):
        name = "liqmap rules"
        idempotent = True

        def __init__(self) -> None:
            self.looking: Any = None

        async def start(self, scheduler: Any) -> None:  # noqa: ANN401 - ships no types
            from tornado.ioloop import PeriodicCallback  # noqa: PLC0415 - the scheduler imports it

            def look_again() -> None:
                waiting = {ts.key: "waiting" for ts in scheduler.unrunnable if scheduler.valid_workers(ts)}
                scheduler.transitions(waiting, stimulus_id="liqmap-look-again")

            scheduler.allowed_failures = 1
            self.looking = PeriodicCallback(look_again, 500)
            self.looking.start()

        async def before_close(self) -> None:
            self.looking.stop()

    return Rules()


async def _close(client: Client) -> None:
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(CLOSE_SECONDS):
            await client.close(timeout=1)
