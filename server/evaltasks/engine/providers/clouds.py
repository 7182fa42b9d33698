"""The clouds whose own credential chain may be used: which hosts are theirs, and where a model runs."""

from __future__ import annotations

import re
from collections.abc import Mapping

from evaltasks.api.ai_integrations import AiIntegration
from evaltasks.engine.providers.provider import PermanentFailure
from evaltasks.engine.providers.record import Cloud, Place

_PROJECT = re.compile(r"[a-z0-9][a-z0-9.:\-]{0,127}")


def _google_place(integration: AiIntegration, environment: Mapping[str, str]) -> Place:
    metadata = integration.provider_metadata or {}
    project = metadata.get("project_id") or environment.get("GOOGLE_CLOUD_PROJECT")
    if project is not None and not _PROJECT.fullmatch(str(project)):
        raise PermanentFailure("provider_metadata.project_id is not the id of a Google Cloud project")
    return Place(project, metadata.get("location") or environment.get("GOOGLE_CLOUD_LOCATION"))


def _aws_place(_: AiIntegration, environment: Mapping[str, str]) -> Place:
    return Place(region=environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION"))


GOOGLE_CLOUD = Cloud("Google Cloud", (".googleapis.com",), "GCP", _google_place)
AWS = Cloud("AWS", (".amazonaws.com", ".amazonaws.com.cn", ".api.aws"), "AWS", _aws_place)
