"""Keep the page of a simulated Discord live, which SimCord itself draws anew only after an action.

What SimCord cannot do, and what is done here instead:
- Its clock stands still. Here it is moved on.
- What the bot posts or edits later does not appear. Here it is published as it comes.
- An action on a page that was drawn anew meanwhile is refused. Here it counts for the page as it is now.
- A picture has no height until it is loaded, so a page that is drawn anew scrolls away under the mouse, which
  closes menus. Here pictures have their height from the start.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from liqmap import utc_now

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    import simcord
    from aiohttp import web

_STYLE = "img.embed-image { min-height: 280px; }"  # as high as they become
_LOOK_EVERY = 0.25  # [s]; the page itself asks twice a second
_CLOCK_EVERY = 20.0  # how often the times on the page move on where nothing else changes [s]


class LivePage:
    """Moves the clock of `env` on with the real one, and publishes to its `preview` what has changed."""

    def __init__(self, env: simcord.Env, preview: simcord.Preview) -> None:
        self._env = env
        self._preview = preview
        # SimCord has no public way to do any of this.
        self._act = preview._action  # noqa: SLF001
        self._serve = preview._server._static  # noqa: SLF001
        preview._server._static = self._static  # type: ignore[method-assign]  # noqa: SLF001
        self._changed = False
        self._published = 0.0

    @asynccontextmanager
    async def kept_live(self) -> AsyncIterator[None]:
        """Keep the page live inside of `async with`."""
        self._preview._action = self._action  # type: ignore[method-assign]  # noqa: SLF001
        self._env.backend.subscribers.append(self._note)
        task = asyncio.create_task(self._run())
        try:
            yield
        finally:
            task.cancel()
            self._env.backend.subscribers.remove(self._note)

    def _note(self, event: str, payload: Mapping[str, Any]) -> None:
        del payload
        self._changed |= event.startswith("MESSAGE_")

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_EVERY)
            catch_up(self._env)
            due = asyncio.get_running_loop().time() - self._published > _CLOCK_EVERY
            # An action publishes by itself when it is over.
            if (self._changed or due) and self._preview._active_action is None:  # noqa: SLF001
                self._publish()

    def _publish(self) -> None:
        self._changed, self._published = False, asyncio.get_running_loop().time()
        self._preview._advance_presentation_time()  # noqa: SLF001
        self._preview._publish_message_pages(reason="refresh")  # noqa: SLF001

    async def _static(self, request: web.Request) -> web.Response:
        response: web.Response = await self._serve(request)
        if request.path == "/preview.css":
            response.text = f"{response.text}\n{_STYLE}"
        return response

    async def _action(self, context_id: str | None, body: Mapping[str, Any]) -> dict[str, Any]:
        catch_up(self._env)
        self._preview._advance_presentation_time()  # noqa: SLF001
        page = self._preview._pages.get(context_id or "")  # noqa: SLF001
        if page is not None and isinstance(body, dict):
            # Buttons and commands name what they act on, so an older drawing of the page does no harm.
            body = {**body, "published_revision": page.revision}
        return await self._act(context_id, body)


def catch_up(env: simcord.Env) -> None:
    """Set the clock of `env` to the real time."""
    env.backend.advance_clock(max(0.0, (utc_now() - env.now()).total_seconds()))
