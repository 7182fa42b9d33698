"""Evaluators as the engine answers them: with both spellings of the function-calling flag.

Some published clients read `use_function_calling`, others `use_function_calling_if_available`. Each ignores the
spelling that it does not know.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import computed_field

from evaltasks.api.evaluator_kinds import TemplateConfig
from evaltasks.api.evaluators import Evaluator, EvaluatorVersion
from evaltasks.api.wire import READING, Page, Pagination


class TemplateConfigAnswer(TemplateConfig):
    """A template configuration with both spellings of the function-calling flag."""

    @computed_field  # type: ignore[prop-decorator]  # mypy knows no decorated properties
    @property
    def use_function_calling_if_available(self) -> bool:
        return self.use_function_calling


class VersionAnswer(EvaluatorVersion):
    template_config: TemplateConfigAnswer | None = None


class EvaluatorAnswer(Evaluator):
    version: VersionAnswer


class VersionPageAnswer(Page):
    evaluator_versions: list[VersionAnswer]


def version_answer(version: EvaluatorVersion) -> VersionAnswer:
    """Return a version as it is answered. As when a reply is read, code of an unknown kind is kept as it is."""
    return VersionAnswer.model_validate(version.model_dump(), context=READING)


def evaluator_answer(evaluator: Evaluator, version: EvaluatorVersion) -> EvaluatorAnswer:
    """Return an evaluator, with one of its versions, as it is answered."""
    return EvaluatorAnswer(**evaluator.model_dump(), version=version_answer(version))


def version_page_answer(versions: Sequence[EvaluatorVersion], pagination: Pagination) -> VersionPageAnswer:
    """Return a page of versions as it is answered."""
    return VersionPageAnswer(
        evaluator_versions=[version_answer(version) for version in versions], pagination=pagination
    )
