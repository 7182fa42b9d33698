"""Handlers of evaluators, their versions and the catalogue of judge templates."""

from __future__ import annotations

from evaltasks.api.evaluators import (
    CreateEvaluator,
    CreateEvaluatorVersion,
    DeletedEvaluatorVersions,
    DeleteEvaluatorVersions,
    Evaluator,
    EvaluatorPage,
    EvaluatorTemplates,
    GetEvaluator,
    ListEvaluators,
    ListEvaluatorVersions,
    UpdateEvaluator,
)
from evaltasks.api.problems import Conflict, NotFound, Problem, Unprocessable
from evaltasks.engine.call import Call, Services
from evaltasks.engine.clock import to_us
from evaltasks.engine.evaluators.kinds import runner_for
from evaltasks.engine.evaluators.template_catalog import CATALOG
from evaltasks.engine.filters.parser import parse_filter
from evaltasks.engine.handlers.evaluator_answers import (
    EvaluatorAnswer,
    VersionAnswer,
    VersionPageAnswer,
    evaluator_answer,
    version_answer,
    version_page_answer,
)
from evaltasks.engine.handlers.pages import NEWEST, key_from, paginate, scope_of
from evaltasks.engine.handlers.quoting import quoted_names
from evaltasks.engine.handlers.spaces import require_space
from evaltasks.engine.store import ai_integrations, evaluators
from evaltasks.engine.store.scopings import is_usable_in
from evaltasks.engine.store.store import Row, Transaction


def require_evaluator(tx: Transaction, evaluator_id: str) -> Evaluator:
    """Return the evaluator with this id. Raises NotFound if there is none."""
    evaluator = evaluators.find_evaluator(tx, evaluator_id)
    if evaluator is None:
        raise NotFound("There is no evaluator with this id.")
    return evaluator


async def list_evaluators(call: Call) -> EvaluatorPage:
    """List evaluators, most recently updated first."""
    query = call.query(ListEvaluators)
    scope = scope_of("evaluators", query)
    before_us, before_seq = key_from(scope, query.cursor, [NEWEST, NEWEST])

    def work(tx: Transaction) -> list[Row]:
        if query.space_id is not None:
            require_space(tx, query.space_id)
        return evaluators.evaluator_rows(tx, query, before_us, before_seq)

    rows = await call.services.store.read(work)
    page, pagination = paginate(rows, query.limit, scope, lambda row: [row["updated_us"], row["seq"]])
    return EvaluatorPage(evaluators=[evaluators.evaluator_from_row(row) for row in page], pagination=pagination)


async def create_evaluator(call: Call) -> EvaluatorAnswer:
    """Create an evaluator with its first version."""
    body, services = call.body(CreateEvaluator), call.services
    await _check_version(services, body.version)

    def work(tx: Transaction) -> EvaluatorAnswer:
        require_space(tx, body.space_id)
        _check_integration(tx, body.version, body.space_id)
        _refuse_name_in_use(tx, body.space_id, body.name)
        evaluator_id = services.new_id("Evaluator")
        evaluators.insert_evaluator(
            tx,
            evaluator_id=evaluator_id,
            space_id=body.space_id,
            name=body.name,
            type_=body.type.value,
            description=body.description,
            now_us=to_us(services.clock.now()),
        )
        _insert_version(tx, services, evaluator_id, body.version)
        return _latest(tx, require_evaluator(tx, evaluator_id))

    return await services.store.write(work)


async def get_evaluator(call: Call) -> EvaluatorAnswer:
    """Get an evaluator with the version in the query, or its latest one."""
    version_id = call.query(GetEvaluator).version_id

    def work(tx: Transaction) -> EvaluatorAnswer:
        evaluator = require_evaluator(tx, call.path["evaluator_id"])
        if version_id is None:
            return _latest(tx, evaluator)
        version = evaluators.find_version(tx, version_id)
        if version is None or version.evaluator_id != evaluator.id:
            raise NotFound("version_id is not a version of this evaluator; omit it for the latest one.")
        return evaluator_answer(evaluator, version)

    return await call.services.store.read_by_key(work)


async def update_evaluator(call: Call) -> Evaluator:
    """Update name and description; null clears the description."""
    body, services = call.body(UpdateEvaluator), call.services
    provided = body.model_fields_set
    if "name" in provided and body.name is None:
        raise Unprocessable("name cannot be cleared; omit it to keep it")

    def work(tx: Transaction) -> Evaluator:
        before = require_evaluator(tx, call.path["evaluator_id"])
        name = body.name or before.name
        if name != before.name:
            _refuse_name_in_use(tx, before.space_id, name)
        description = body.description if "description" in provided else before.description
        now_us = to_us(services.clock.now())
        evaluators.update_evaluator(tx, before.id, name=name, description=description, now_us=now_us)
        return require_evaluator(tx, before.id)

    return await services.store.write(work)


async def delete_evaluator(call: Call) -> None:
    """Delete an evaluator. One that a task uses cannot be deleted."""

    def work(tx: Transaction) -> None:
        evaluator = require_evaluator(tx, call.path["evaluator_id"])
        users = evaluators.task_names_using(tx, evaluator.id)
        if users:
            raise Conflict(f"These tasks use this evaluator: {quoted_names(users)}. Delete or change them first.")
        evaluators.delete_evaluator(tx, evaluator.id)

    await call.services.store.write(work)


async def list_evaluator_versions(call: Call) -> VersionPageAnswer:
    """List the versions of an evaluator, newest first."""
    query = call.query(ListEvaluatorVersions)

    def work(tx: Transaction) -> VersionPageAnswer:
        evaluator = require_evaluator(tx, call.path["evaluator_id"])
        scope = scope_of("evaluator_versions", query, evaluator.id)
        (before_seq,) = key_from(scope, query.cursor, [NEWEST])
        rows = evaluators.version_rows(tx, evaluator.id, before_seq, query.limit)
        page, pagination = paginate(rows, query.limit, scope, lambda row: [row["seq"]])
        return version_page_answer([evaluators.version_from_row(row) for row in page], pagination)

    return await call.services.store.read(work)


async def create_evaluator_version(call: Call) -> VersionAnswer:
    """Create a new latest version. Tasks without a pinned version use it from their next task run on."""
    version, services = call.body(CreateEvaluatorVersion), call.services
    await _check_version(services, version)

    def work(tx: Transaction) -> VersionAnswer:
        evaluator = require_evaluator(tx, call.path["evaluator_id"])
        if version.type is not evaluator.type:
            raise Unprocessable(
                f"this evaluator is of type {evaluator.type}, so its versions need a {evaluator.type.lower()}_config"
            )
        _check_integration(tx, version, evaluator.space_id)
        version_id = _insert_version(tx, services, evaluator.id, version)
        now_us = to_us(services.clock.now())
        evaluators.update_evaluator(
            tx, evaluator.id, name=evaluator.name, description=evaluator.description, now_us=now_us
        )
        return _version(tx, version_id)

    return await services.store.write(work)


async def delete_evaluator_versions(call: Call) -> DeletedEvaluatorVersions:
    """Delete versions. Tasks that pinned one of them use the latest version from now on.

    The last version of an evaluator that tasks use cannot be deleted.
    """
    version_ids = list(dict.fromkeys(call.body(DeleteEvaluatorVersions).version_ids))

    def work(tx: Transaction) -> DeletedEvaluatorVersions:
        evaluator = require_evaluator(tx, call.path["evaluator_id"])
        existing = evaluators.versions_among(tx, evaluator.id, version_ids)
        if existing and len(existing) == evaluators.version_count(tx, evaluator.id):
            users = evaluators.task_names_using(tx, evaluator.id)
            if users:
                raise Conflict(
                    f"This would delete the last version of an evaluator that tasks use: {quoted_names(users)}. "
                    "Keep one version, or delete or change the tasks first."
                )
        deleted = [id_ for id_ in version_ids if id_ in existing]
        evaluators.delete_versions(tx, evaluator.id, deleted)
        return DeletedEvaluatorVersions(
            completed=True,
            deleted_version_ids=deleted,
            not_deleted_version_ids=[id_ for id_ in version_ids if id_ not in existing],
        )

    return await call.services.store.write(work)


async def get_evaluator_version(call: Call) -> VersionAnswer:
    """Return one version."""
    return await call.services.store.read_by_key(lambda tx: _version(tx, call.path["version_id"]))


async def list_evaluator_templates(call: Call) -> EvaluatorTemplates:  # noqa: ARG001  every handler takes the call
    """List the templates of evaluators that judge with a model."""
    return EvaluatorTemplates(evaluator_templates=[template.wire() for template in CATALOG])


def _version(tx: Transaction, version_id: str) -> VersionAnswer:
    version = evaluators.find_version(tx, version_id)
    if version is None:
        raise NotFound("There is no evaluator version with this id.")
    return version_answer(version)


def _latest(tx: Transaction, evaluator: Evaluator) -> EvaluatorAnswer:
    version = evaluators.latest_version(tx, evaluator.id)
    if version is None:
        raise NotFound("All versions of this evaluator were deleted; create a new one to use it again.")
    return evaluator_answer(evaluator, version)


def _insert_version(tx: Transaction, services: Services, evaluator_id: str, version: CreateEvaluatorVersion) -> str:
    version_id = services.new_id("EvaluatorVersion")
    now_us = to_us(services.clock.now())
    evaluators.insert_version(tx, version_id=version_id, evaluator_id=evaluator_id, version=version, now_us=now_us)
    return version_id


async def _check_version(services: Services, version: CreateEvaluatorVersion) -> None:
    """Validate a new version.

    Raises:
        NotBuilt: This engine does not run evaluators of this kind.
        Unprocessable: The version is invalid; the detail has every problem.
    """
    runner = runner_for(version)
    problems = [*await runner.problems(version.config, services.sandbox), *_problems_of_filter(version)]
    if problems:
        raise Unprocessable("; ".join(problems), extra=runner.repairs(version.config))


def _problems_of_filter(version: CreateEvaluatorVersion) -> list[str]:
    """Return the syntax errors of the evaluator's own filter. Which columns exist depends on the task."""
    if not version.query_filter:
        return []
    try:
        parse_filter(version.query_filter, field="code_config.query_filter")
    except Problem as problem:
        return [problem.detail]
    return []


def _check_integration(tx: Transaction, version: CreateEvaluatorVersion, space_id: str) -> None:
    """Validate the AI integration that a template names.

    Raises:
        NotFound: There is no such integration, or the space must not use it.
        Unprocessable: Its judge cannot judge this template.
    """
    llm = version.llm_config
    if llm is None:
        return
    integration = ai_integrations.find_integration(tx, llm.ai_integration_id)
    if integration is None or not is_usable_in(integration, space_id):
        raise NotFound("LLM integration not found or not accessible to this space")
    problems = runner_for(version).judge_problems(version.config, integration)
    if problems:
        raise Unprocessable("; ".join(problems))


def _refuse_name_in_use(tx: Transaction, space_id: str, name: str) -> None:
    if evaluators.find_evaluator_by_name(tx, space_id, name) is not None:
        raise Conflict("An evaluator with this name already exists in the space; choose another name.")
