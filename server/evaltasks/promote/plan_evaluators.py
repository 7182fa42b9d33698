"""Plans evaluators. Versions are immutable: changed content becomes a new version, equal content adds none.

A pinned version is identified by its content. A missing one is added. Because an added version becomes the latest, the
latest version of the file is then added again, so that tasks without a pin use the version that the file says.
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
from evaltasks.promote.documents import AI, EvaluatorFile, VersionFile, to_document
from evaltasks.promote.folder import Bundle, ParsedFile
from evaltasks.promote.integration_files import BUILTIN_NAME
from evaltasks.promote.names import NotExportable, version_file
from evaltasks.promote.plan import Action, Plan, Step, Write, shown_names
from evaltasks.promote.target import Target

DEFAULT_MESSAGE = "Applied by evaltasks"


async def plan_evaluators(bundle: Bundle, target: Target, plan: Plan) -> None:
    """Add a step or issues for each evaluator file."""
    present = await target.evaluators()
    for parsed in bundle.evaluators.values():
        issues = _shape_issues(parsed)
        for index, version in enumerate(parsed.content.versions):
            if version.llm_config is not None:
                name = version.llm_config.ai_integration_id
                where = f"versions[{index}].template_config.llm_config.ai_integration"
                issues += await integration_issues(parsed, where, name, bundle, target)
        existing = present.get(parsed.content.name)
        if existing is not None and existing.type != parsed.content.type:
            problem = f"a {str(existing.type).lower()} evaluator with this name exists"
            issues.append(parsed.issue("name", problem, "rename one of the two"))
        if issues:
            plan.issues += issues
        else:
            plan.steps.append(await _step(parsed, existing, bundle, target))


async def integration_issues(
    parsed: ParsedFile[Any], where: str, name: str, bundle: Bundle, target: Target
) -> list[Any]:
    """Return an issue if an AI integration is neither in the space nor in the files."""
    present = await target.ai_integrations()
    if name in present or name in bundle.ai_integrations:
        return []
    if name == BUILTIN_NAME and not target.client.is_engine:
        remedy = "only evaltasks engines have the heuristic judge; name the integration of a language model"
        return [parsed.issue(where, f"{target.client.where} has no heuristic judge", remedy)]
    problem = f"there is no AI integration '{name}' and no file for it"
    return [parsed.issue(where, problem, f"there are: {shown_names(present)}")]


def _shape_issues(parsed: ParsedFile[EvaluatorFile]) -> list[Any]:
    file, issues, labels = parsed.content, [], set[str]()
    for index, version in enumerate(file.versions):
        where = f"versions[{index}]"
        if version.type is not file.type:
            problem = f"is {version.type.lower()}_config, and the evaluator's type is {file.type.lower()}"
            issues.append(parsed.issue(where, problem, "make them agree"))
        if version.label is None and version is not file.latest:
            problem = "has no label, which only the last version (the latest) may omit"
            issues.append(parsed.issue(where, problem, "add the label that tasks pin it by"))
        if version.label is not None and version.label in labels:
            issues.append(
                parsed.issue(f"{where}.label", "is the label of another version in this file", "use another label")
            )
        labels |= {version.label} if version.label is not None else set()
    if file.type not in {EvaluatorType.TEMPLATE, EvaluatorType.CODE}:
        issues.append(parsed.issue("type", "only template and code evaluators can be applied", "use one of them"))
    return issues


async def _step(parsed: ParsedFile[EvaluatorFile], existing: Evaluator | None, bundle: Bundle, target: Target) -> Step:
    file = parsed.content
    if existing is None:
        writes = [_create(file, target), *(_add(file, version, target) for version in file.versions[1:])]
        return Step(file.kind, file.name, parsed.file, Action.CREATE, writes=writes)
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
        return Step(file.kind, file.name, parsed.file, Action.UNCHANGED)
    notes = await _notes(existing, missing, bundle, target)
    if file.latest in missing and latest is not None and file.latest.message == latest.commit_message:
        notes.append("its message is the same as that of the present version; consider one that says what changed")
    return Step(file.kind, file.name, parsed.file, Action.UPDATE, found, notes, writes)


async def _missing(
    file: EvaluatorFile, existing: Evaluator, latest: EvaluatorVersion | None, target: Target
) -> list[VersionFile]:
    """Return the versions to add, in order."""
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
    except NotExportable:
        return [Difference("latest", "a value that these files cannot hold", "new")]
    return differences(present, wanted) or [Difference("latest", "unchanged", "added again, to be the latest")]


async def _notes(existing: Evaluator, missing: Sequence[VersionFile], bundle: Bundle, target: Target) -> list[str]:
    """Return notes on the tasks that are affected besides those in the files."""
    if not missing:
        return []
    followers = [
        name
        for name, task in (await target.tasks()).items()
        if name not in bundle.tasks
        and any(
            attachment.evaluator_id == existing.id and not attachment.evaluator_version_id
            for attachment in task.evaluators
        )
    ]
    notes = []
    if followers:
        notes.append(f"tasks without a file here also use its latest version: {shown_names(followers)}")
    if len(missing) > 1:
        notes.append("older versions are added before the latest; tasks without a pin use them briefly")
    return notes


def _create(file: EvaluatorFile, target: Target) -> Write:
    async def create() -> None:
        first = file.versions[0]
        body = {
            "space_id": target.space_id, "name": file.name, "type": file.type, "description": file.description,
            "version": _version_body(first, target),
        }  # fmt: skip
        created = await target.client.evaluators.create(CreateEvaluator.model_validate(body))
        target.ids["evaluator", created.name] = created.id
        target.versions[file.name, first.digest()] = created.version.id

    return create


def _add(file: EvaluatorFile, version: VersionFile, target: Target) -> Write:
    async def add() -> None:
        id_ = target.ids["evaluator", file.name]
        body = CreateEvaluatorVersion.model_validate(_version_body(version, target))
        created = await target.client.evaluators.create_version(id_, body)
        target.versions[file.name, version.digest()] = created.id

    return add


def _describe(file: EvaluatorFile, existing: Evaluator, target: Target) -> Write:
    async def describe() -> None:
        await target.client.evaluators.update(existing.id, UpdateEvaluator(description=file.description))

    return describe


def _version_body(version: VersionFile, target: Target) -> dict[str, Any]:
    """Return a version as a request: ids instead of names, and the message that every version needs."""
    body: dict[str, Any] = {"commit_message": version.message or DEFAULT_MESSAGE}
    if version.template_config is not None:
        config = version.template_config.model_dump(exclude_none=True)
        llm = config["llm_config"]
        llm["ai_integration_id"] = target.ids[AI, llm["ai_integration_id"]]
        return body | {"template_config": config}
    return body | {"code_config": to_document(version)["code_config"]}
