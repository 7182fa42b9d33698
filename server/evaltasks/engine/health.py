"""`GET /healthz`: the liveness probe.

It needs no key and accepts every Host, because a container's probe has neither. It reveals nothing, and it does not
check the store: a restart of the engine does not fix a storage error.
"""

from __future__ import annotations

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

HEALTH = "/healthz"


class Health:
    """ASGI middleware that answers the probe; the outermost one."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == HEALTH and scope["method"] in {"GET", "HEAD"}:
            await JSONResponse({"status": "ok"})(scope, receive, send)
            return
        await self._app(scope, receive, send)
