"""Access to the engine's port: keys, allowed hosts, limits and the request log.

Everything is fixed when the engine starts: by arguments or, for keys, by the environment. No tool and no request
changes it.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from starlette.types import ASGIApp

from evaltasks.api.problems import Forbidden
from evaltasks.edge.host_origin import AllowedHosts, HostOriginError, HostOriginMiddleware
from evaltasks.edge.loopback import LOOPBACK_NAMES
from evaltasks.engine.app import problem_response
from evaltasks.engine.body_limits import BodyLimits
from evaltasks.engine.health import Health
from evaltasks.engine.keys import HOW_TO_MAKE, KeyCheck, Keys, WeakKey, keys_from
from evaltasks.engine.request_log import RequestLog, logger
from evaltasks.engine.request_rate import Rate, RequestRateLimit, rate_from
from evaltasks.settings import SettingsError

KEY_VARIABLE = "EVALTASKS_ENGINE_KEY"
BODY_MB_MAX = 1024
_LOOPBACK = AllowedHosts.bound_to("127.0.0.1")


@dataclass(frozen=True)
class Access:
    """The access rules of an engine that serves a port; made by `access_from`.

    Attributes:
        hosts: The allowed hosts.
        keys: The API keys; None if requests need none.
        body_bytes_max: The largest request body; None leaves each route its own limit.
        rate: The rate limit of each caller, if there is one.
        log_requests: Whether each request is logged.
    """

    hosts: AllowedHosts = _LOOPBACK
    keys: Keys | None = None
    body_bytes_max: int | None = None
    rate: Rate | None = None
    log_requests: bool = False

    def around(self, app: ASGIApp) -> ASGIApp:
        """Wrap the app in its middleware, from the innermost to the outermost, so refused requests are logged too."""
        app = BodyLimits(app)
        if self.rate is not None:
            app = RequestRateLimit(app, self.rate)
        if self.keys is not None:
            app = KeyCheck(app, self.keys)
        app = HostOriginMiddleware(app, self.hosts, _forbidden)
        if self.log_requests:
            logger.setLevel(logging.INFO)
            app = RequestLog(app)
        return Health(app)


def _forbidden(error: HostOriginError) -> ASGIApp:
    return problem_response(Forbidden(error.message))


OPEN = Access()


def access_from(
    environment: Mapping[str, str],
    *,
    host: str = "127.0.0.1",
    allow_host: Collection[str] = (),
    max_body_mb: int | None = None,
    rate_limit: str | None = None,
    log_requests: bool = False,
) -> Access:
    """Make the access rules from the options of the command line and the keys in the environment.

    Raises:
        SettingsError: If an option is not valid, or a key is missing although other machines can send requests.
    """
    try:
        keys = keys_from(environment.get(KEY_VARIABLE, ""))
    except WeakKey as error:
        raise SettingsError(f"{KEY_VARIABLE}: {error}") from None
    if keys is None and (host not in LOOPBACK_NAMES or allow_host):
        why = (
            "with --allow-host, other machines can send requests"
            if host in LOOPBACK_NAMES
            else f"'{host}' can be reached from other machines"
        )
        raise SettingsError(
            f"engine: {why}, so a key is required. Generate one with {HOW_TO_MAKE}, set it as "
            f"{KEY_VARIABLE} in the environment and as ARIZE_API_KEY for clients; or bind to 127.0.0.1."
        )
    if max_body_mb is not None and not 1 <= max_body_mb <= BODY_MB_MAX:
        raise SettingsError(f"engine: --max-body-mb must be a whole number from 1 to {BODY_MB_MAX}")
    try:
        rate = None if rate_limit is None else rate_from(rate_limit)
    except ValueError as error:
        raise SettingsError(f"engine: --rate-limit {error}") from None
    return Access(
        hosts=AllowedHosts.bound_to(host, allow_host),
        keys=keys,
        body_bytes_max=None if max_body_mb is None else max_body_mb * 2**20,
        rate=rate,
        log_requests=log_requests,
    )
