"""Rows of the Python SDK's tables, and helpers of their calls.

The SDK is imported inside functions: it is there in the clients' environment only, and the tables are read without it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

MANAGED = {
    "type": "MANAGED", "name": "parses", "managed_evaluator": "JSON_PARSEABLE", "variables": ["output"],
}  # fmt: skip
SPACE = "compat"


@dataclass(frozen=True)
class SdkRow:
    """A call as the page shows it, and its function of client and world, which returns a true value on success.

    A call that must fail names the SDK's class of error and a part of its text.
    """

    call: str
    does: Callable[[Any, Any], Any]
    fails: tuple[str, str] | None = None
    why_not: str | None = None


def judge(w: Any) -> Any:
    from arize.evaluators.types import EvaluatorLlmConfigRequest, TemplateConfigInput

    return TemplateConfigInput(
        name="correct", template="Is {output} right?", include_explanations=True, use_function_calling=True,
        classification_choices={"yes": 1, "no": 0},
        llm_config=EvaluatorLlmConfigRequest.from_dict(
            {"ai_integration_id": w.ai_integration_id, "model_name": "judge", "invocation_parameters": {},
             "provider_parameters": {}}
        ),
    )  # fmt: skip


def attached(evaluator_id: str) -> list[Any]:
    from arize.tasks.types import TaskEvaluatorInput

    mappings = {"output": "attributes.output.value"}
    return [TaskEvaluatorInput.from_dict({"evaluator_id": evaluator_id, "column_mappings": mappings})]


def generation(w: Any) -> dict[str, Any]:
    return {
        "experiment_type": "LLM_GENERATION", "ai_integration_id": w.ai_integration_id, "model_name": "judge",
        "messages": [{"role": "USER", "content": "{{question}}"}], "input_variable_format": "MUSTACHE",
    }  # fmt: skip


def said_of(record: str) -> list[Any]:
    from arize._generated.api_client.models import (
        AnnotateRecordInput,
        AnnotationInput,
    )

    return [AnnotateRecordInput(record_id=record, values=[AnnotationInput(name="tone", label="good", score=1)])]


def walk(method: Callable[..., Any], resource: str, **arguments: Any) -> bool:
    """Check that pages of one item contain the same items as one large page, each once."""
    large = method(limit=50, **arguments)
    assert not large.pagination.has_more
    found: list[Any] = []
    cursor = None
    for _ in range(200):
        page = method(limit=1, **arguments, **({"cursor": cursor} if cursor else {}))
        found += getattr(page, resource)
        cursor = page.pagination.next_cursor
        if not cursor:
            break
    keys = [_key(item) for item in found]
    assert len(keys) == len(set(keys)) > 1, keys
    return keys == [_key(item) for item in getattr(large, resource)]


def _key(item: Any) -> str:
    return str(getattr(item, "id", None) or getattr(item, "root_span_id", None) or item.context.span_id)


def fields(w: Any) -> Any:
    from arize.experiments.types import ExperimentTaskFieldNames

    return ExperimentTaskFieldNames(example_id="example_id", output="output")


def names(items: Any) -> set[str]:
    return {item.name for item in items}


def window(w: Any) -> dict[str, datetime]:
    now = datetime.now(UTC)
    return {"data_start_time": now - timedelta(days=1), "data_end_time": now}


def categories() -> list[Any]:
    from arize.annotation_configs.types import CategoricalAnnotationValueRequest

    return [CategoricalAnnotationValueRequest(label=label, score=score) for label, score in (("a", 1), ("b", 0))]


def experiment_run(w: Any) -> Any:
    return {"example_id": w.example_id, "output": "one more"}


def space_role() -> Any:
    from arize.spaces.types import PredefinedSpaceRole, UserSpaceRole

    return PredefinedSpaceRole(name=UserSpaceRole.MEMBER)
