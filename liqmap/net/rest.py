"""Request JSON from an exchange's API, within the budget that the exchange allows."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from liqmap.errors import DataError
from liqmap.net.attempts import (
    SIMULATED_HEADER,
    TransientError,
    attempts,
    check_status,
    date_of,
    host_of,
    ignored,
    retry_after,
)
from liqmap.net.budget import LONGEST_WAIT, WeightBudget, limited, never
from liqmap.net.pace import ended_by, overdue

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextlib import AbstractContextManager

    import aiohttp

    from liqmap.clock import ExchangeClock
    from liqmap.net.session import Session

_DATE_EXACT_TO = timedelta(seconds=1)  # an HTTP date has no fractions
_LIMITED_STATUS = frozenset({429, 418})  # too many requests; banned for continuing after a 429
_FORBIDDEN_FOR = 600.0  # Bybit's "access too frequent" is a 403 too, and lasts ten minutes
_CHUNK = 1 << 16


class RejectedRequest(DataError):
    """The exchange rejected a request with HTTP 400; `answer` is its JSON, with a code of its own."""

    def __init__(self, sentence: str, answer: object) -> None:
        super().__init__(sentence)
        self.answer = answer


class RestClient:
    """Requests JSON from one exchange's API, retries failures that may pass, and obeys its limits.

    It serves everything but files and streams: pages of trades, listings, brackets, the time.
    """

    def __init__(
        self,
        session: Session,
        *,
        clock: ExchangeClock,
        budget: WeightBudget,
        used_weight: Callable[[Mapping[str, str]], int | None],
        busy: Callable[[object], float | None] = lambda _: None,
        limited_wait: float = 60.0,
    ) -> None:
        self._session = session
        self._network = session.network
        self.clock: Final = clock
        """The exchange's clock, corrected by the date of every answer."""
        self._budget = budget
        self._used_weight = used_weight
        self._busy = busy
        self._limited_wait = limited_wait
        self.simulated = False
        """Whether a simulated market answers; False until the first answer."""

    def hurry(self) -> AbstractContextManager[None]:
        """Return a block during which patient requests are held back."""
        return self._budget.hurry()

    async def get(
        self,
        url: str,
        *,
        weight: int,
        is_patient: Callable[[], bool] = never,
        on_unreachable: Callable[[], None] = ignored,
    ) -> object:
        """Return the JSON answer of `url` (with its query), a request that costs `weight` of the budget.

        While it `is_patient`, requests that somebody waits for go first. `on_unreachable` is called
        where the exchange cannot be reached. Raises RejectedRequest on HTTP 400, DataError on other failures.
        """
        try:
            async for attempt in attempts(
                self._network,
                times=self._network.attempts,
                sleep=self.clock.sleep,
                on_unreachable=on_unreachable,
            ):
                with attempt:
                    return await self._get_once(url, weight, is_patient)
        except TransientError as error:
            raise DataError(str(error)) from error
        raise AssertionError("the last attempt returns or raises")  # pragma: no cover

    async def _get_once(self, url: str, weight: int, is_patient: Callable[[], bool]) -> object:
        period = await self._budget.spend(weight, is_patient=is_patient)
        host = host_of(url)
        late = TransientError(f"{host} did not answer in time; try again in a few minutes.")
        sent = self.clock.machine.now()
        async with (
            ended_by(overdue(late, after=self._network.answer_timeout, sleep=self._session.sleep)),
            self._session.request("GET", url) as response,
        ):
            self._learn_time(response.headers, sent)
            used = self._used_weight(response.headers)
            if used is not None:
                self._budget.hear(used, period)
            if response.status in _LIMITED_STATUS:
                self._limited(response, host)
            if response.status == 403:
                until = self._budget.close(_FORBIDDEN_FOR)
                raise DataError(
                    f"{host} refuses to answer (HTTP 403), because of too many requests or because it"
                    f" blocks this network; try again at {until:%H:%M:%S} UTC."
                )
            if response.status != 400:
                check_status(response, host, longest_wait=self._network.retry_wait_max)
            body = _parsed(await self._body(response, host), host)
            wait = self._busy(body)
            if wait is not None:
                self._budget.close(wait)
                raise TransientError(f"{host} is busy; try again in a minute.", retry_after=wait)
            if response.status == 400:
                raise RejectedRequest(f"{host} refuses to answer; try again later.", body)
            self.simulated = SIMULATED_HEADER in response.headers
            return body

    def _learn_time(self, headers: Mapping[str, str], sent: datetime) -> None:
        shown = date_of(headers.get("Date", ""))
        # An answer with an Age comes from a cache, so its date may lie before the request.
        if shown is not None and "Age" not in headers:
            self.clock.learn(shown, exact_to=_DATE_EXACT_TO, sent=sent)

    async def _body(self, response: aiohttp.ClientResponse, host: str) -> bytes:
        body, limit = bytearray(), self._network.max_answer_size
        async for chunk in response.content.iter_chunked(_CHUNK):
            body += chunk
            if len(body) > limit:  # counted unpacked: a few compressed bytes can unpack to very many
                raise DataError(
                    f"{host} sent an answer larger than {limit / 1e6:,g} MB, which is refused; if that is"
                    " right, raise the setting network.max_answer_size."
                )
        return bytes(body)

    def _limited(self, response: aiohttp.ClientResponse, host: str) -> None:
        named = retry_after(response.headers)
        wait = self._limited_wait if named is None else named
        until = self._budget.close(wait)
        if wait > LONGEST_WAIT:
            raise limited(until, now=self.clock.now())
        raise TransientError(f"{host} is limiting requests; try again in a minute.", retry_after=wait)


def _parsed(body: bytes, host: str) -> object:
    try:
        answer: object = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise TransientError(f"{host} sent an answer that cannot be read; try again later.") from error
    return answer
