"""`GET /healthz`: whether the process answers, for whoever watches over it.

Open to all, without a key and under any name, because a container's watcher has neither. It holds nothing, and it
says nothing about the store: restarting the engine would not fix a storage error.
"""

from __future__ import annotations

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

HEALTH = "/healthz"


class Health:
    """ASGI middleware, to stand before everything else."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == HEALTH and scope["method"] in {"GET", "HEAD"}:
            await JSONResponse({"status": "ok"})(scope, receive, send)
            return
        await self._app(scope, receive, send)
