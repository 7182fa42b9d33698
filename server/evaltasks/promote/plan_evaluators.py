"""Evaluators in a plan. Versions never change: other content is a new version, the same content is none.

A pinned version is known by its content. One that is missing is added; because what is added is the latest, the latest
of the file then follows once more, so that tasks without a pin end where the file says.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from evaltasks.api.evaluator_kinds import EvaluatorType
from evaltasks.api.evaluators import (
    CreateEvaluator,
    CreateEvaluatorVersion,
    Evaluator,
    EvaluatorVersion,
    UpdateEvaluator,
)
from evaltasks.promote.differences import Difference, differences
from evaltasks.promote.documents import AI, EvaluatorFile, VersionFile, document_of
from evaltasks.promote.folder import Bundle, Filed
from evaltasks.promote.integration_files import BUILTIN_NAME
from evaltasks.promote.names import Unmovable, version_file
from evaltasks.promote.plan import Action, Plan, Step, Write
from evaltasks.promote.target import Target

DEFAULT_MESSAGE = "Applied by evaltasks"


async def plan_evaluators(bundle: Bundle, target: Target, plan: Plan) -> None:
    """Adds a step or problems for each evaluator's file."""
    present = await target.evaluators()
    for filed in bundle.evaluators.values():
        issues = _shape_issues(filed)
        for index, version in enumerate(filed.content.versions):
            if version.llm_config is not None:
                name = version.llm_config.ai_integration_id
                where = f"versions[{index}].template_config.llm_config.ai_integration"
                issues += await integration_issues(filed, where, name, bundle, target)
        existing = present.get(filed.content.name)
        if existing is not None and existing.type != filed.content.type:
            what = f"an evaluator of this name is there, and it is a {str(existing.type).lower()} evaluator"
            issues.append(filed.issue("name", what, "rename one of the two"))
        if issues:
            plan.issues += issues
        else:
            plan.steps.append(await _step(filed, existing, bundle, target))


async def integration_issues(filed: Filed[Any], where: str, name: str, bundle: Bundle, target: Target) -> list[Any]:
    """A problem where an AI integration is neither there nor in the files."""
    present = await target.ai_integrations()
    if name in present or name in bundle.ai_integrations:
        return []
    if name == BUILTIN_NAME and not target.client.is_engine:
        remedy = "the heuristic judge is a part of evaltasks engines only; name a language model's integration"
        return [filed.issue(where, f"{target.client.where} has no heuristic judge", remedy)]
    there = ", ".join(sorted(present)[:10]) or "none"
    return [filed.issue(where, f"there is no AI integration '{name}', nor a file of it", f"there are: {there}")]


def _shape_issues(filed: Filed[EvaluatorFile]) -> list[Any]:
    file, issues, labels = filed.content, [], set[str]()
    for index, version in enumerate(file.versions):
        where = f"versions[{index}]"
        if version.type is not file.type:
            what = f"is {version.type.lower()}_config, and the evaluator's type is {file.type.lower()}"
            issues.append(filed.issue(where, what, "make them agree"))
        if version.label is None and version is not file.latest:
            what = "has no label; only the last version, which is the latest, may have none"
            issues.append(filed.issue(where, what, "give it the label that tasks pin it by"))
        if version.label is not None and version.label in labels:
            issues.append(filed.issue(f"{where}.label", "is taken by another version here", "give it another one"))
        labels |= {version.label} if version.label is not None else set()
    if file.type not in {EvaluatorType.TEMPLATE, EvaluatorType.CODE}:
        issues.append(filed.issue("type", "only template and code evaluators are applied", "give one of them"))
    return issues


async def _step(filed: Filed[EvaluatorFile], existing: Evaluator | None, bundle: Bundle, target: Target) -> Step:
    file = filed.content
    if existing is None:
        writes = [_create(file, target), *(_add(file, version, target) for version in file.versions[1:])]
        return Step(file.kind, file.name, filed.file, Action.CREATE, writes=writes)
    found: list[Difference] = []
    writes = []
    if (existing.description or None) != (file.description or None):
        found.append(Difference("description", existing.description or None, file.description))
        writes.append(_describe(file, existing, target))
    latest = await target.latest(existing)
    missing = await _missing(file, existing, latest, target)
    for version in missing:
        if version is file.latest:
            found += await _latest_differences(file, latest, target)
        else:
            found.append(Difference(f"version {version.label}", None, "new"))
        writes.append(_add(file, version, target))
    if not found:
        return Step(file.kind, file.name, filed.file, Action.UNCHANGED)
    notes = await _notes(existing, missing, bundle, target)
    if file.latest in missing and latest is not None and file.latest.message == latest.commit_message:
        notes.append("its message is the present version's; a new one could say what changed")
    return Step(file.kind, file.name, filed.file, Action.UPDATE, found, notes, writes)


async def _missing(
    file: EvaluatorFile, existing: Evaluator, latest: EvaluatorVersion | None, target: Target
) -> list[VersionFile]:
    """The versions to add, in order."""
    newest = await target.digest(latest) if latest is not None else ""
    if latest is not None:
        target.versions[file.name, newest] = latest.id
    if any(version.label is not None for version in file.versions):
        await target.read_versions(existing)
    older = {
        version.digest(): version
        for version in file.versions[:-1]
        if (file.name, version.digest()) not in target.versions
    }
    older.pop(file.latest.digest(), None)
    added = list(older.values())
    return [*added, file.latest] if added or file.latest.digest() != newest else []


async def _latest_differences(file: EvaluatorFile, latest: EvaluatorVersion | None, target: Target) -> list[Difference]:
    wanted = {"latest": file.latest.content()}
    if latest is None:
        return [Difference("latest", None, "new")]
    try:
        present = {"latest": (await version_file(latest, target.names)).content()}
    except Unmovable:
        return [Difference("latest", "something that these files cannot hold", "new")]
    return differences(present, wanted) or [Difference("latest", "as it is", "the same once more, as the latest")]


async def _notes(existing: Evaluator, missing: Sequence[VersionFile], bundle: Bundle, target: Target) -> list[str]:
    """Who else would feel it."""
    if not missing:
        return []
    followers = sorted(
        name
        for name, task in (await target.tasks()).items()
        if name not in bundle.tasks
        and any(one.evaluator_id == existing.id and not one.evaluator_version_id for one in task.evaluators)
    )
    notes = []
    if followers:
        notes.append(f"tasks in no file here follow its latest version too: {', '.join(followers[:10])}")
    if len(missing) > 1:
        notes.append("older versions are added before the latest; tasks without a pin use them for that moment")
    return notes


def _create(file: EvaluatorFile, target: Target) -> Write:
    async def create() -> None:
        first = file.versions[0]
        body = {
            "space_id": target.space_id, "name": file.name, "type": file.type, "description": file.description,
            "version": _version_body(first, target),
        }  # fmt: skip
        made = await target.client.evaluators.create(CreateEvaluator.model_validate(body))
        target.ids["evaluator", made.name] = made.id
        target.versions[file.name, first.digest()] = made.version.id

    return create


def _add(file: EvaluatorFile, version: VersionFile, target: Target) -> Write:
    async def add() -> None:
        id_ = target.ids["evaluator", file.name]
        body = CreateEvaluatorVersion.model_validate(_version_body(version, target))
        made = await target.client.evaluators.create_version(id_, body)
        target.versions[file.name, version.digest()] = made.id

    return add


def _describe(file: EvaluatorFile, existing: Evaluator, target: Target) -> Write:
    async def describe() -> None:
        await target.client.evaluators.update(existing.id, UpdateEvaluator(description=file.description))

    return describe


def _version_body(version: VersionFile, target: Target) -> dict[str, Any]:
    """As a request has it: ids for names, and the message that every version must have."""
    body: dict[str, Any] = {"commit_message": version.message or DEFAULT_MESSAGE}
    if version.template_config is not None:
        config = version.template_config.model_dump(exclude_none=True)
        llm = config["llm_config"]
        llm["ai_integration_id"] = target.ids[AI, llm["ai_integration_id"]]
        return body | {"template_config": config}
    return body | {"code_config": document_of(version)["code_config"]}
