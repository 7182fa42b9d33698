"""Plans tasks. They are compared by names and by the content of pinned versions, never by ids."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from evaltasks.api.evaluators import EvaluatorVersion
from evaltasks.api.run_configurations import Resource, references_of
from evaltasks.api.tasks import CreateTask, EvaluatorAttachment, Task, TaskSettings, UpdateTask
from evaltasks.insight.evaluator_rules import Attached, fit_issues
from evaltasks.insight.task_rules import creation_issues
from evaltasks.promote.differences import differences
from evaltasks.promote.documents import (
    AttachmentFile,
    TaskFile,
    integration_word,
    pin_field,
    pinned_versions,
    to_document,
)
from evaltasks.promote.folder import Bundle, FileError, ParsedFile
from evaltasks.promote.names import NotExportable, reject_id_like_name, task_file
from evaltasks.promote.plan import Action, ContinuousPolicy, Plan, Step, Write, shown_names
from evaltasks.promote.plan_evaluators import integration_issues
from evaltasks.promote.target import Target

_NO_TIME = datetime.fromtimestamp(0, UTC)
# Fields that the service cannot change after creation.
_FIXED = ("type", "project", "dataset", "experiments")
# Request fields and their names in files, for messages of the shared validation rules.
_FILE_WORDS = (
    ("evaluator_version_id", "version"), ("evaluator_id", "evaluator"), ("experiment_ids", "experiments"),
    ("task_type", "type"),
)  # fmt: skip


async def plan_tasks(bundle: Bundle, target: Target, plan: Plan, continuous: ContinuousPolicy) -> None:
    """Add a step or issues for each task file."""
    present = await target.tasks()
    for parsed in bundle.tasks.values():
        issues = [
            *_rule_issues(parsed),
            *await _reference_issues(parsed, bundle, target),
            *await _fit_issues(parsed, bundle, target),
        ]
        listed = present.get(parsed.content.name)
        task = await target.client.tasks.get(listed.id) if listed is not None else None
        step = await _step(parsed, task, bundle, target, plan, continuous) if not issues else None
        if isinstance(step, Step):
            plan.steps.append(step)
        plan.issues += [*issues, *(step if isinstance(step, list) else [])]


def _rule_issues(parsed: ParsedFile[TaskFile]) -> list[FileError]:
    """Validate a task by its type, with the rules that also apply to tool arguments."""
    file = parsed.content
    arguments = {name: value for name in TaskFile.model_fields if (value := getattr(file, name)) is not None}
    arguments |= {"task_type": file.type}
    if file.experiments is not None:
        arguments["experiment_ids"] = file.experiments
    if file.evaluators is not None:
        arguments["evaluators"] = [_by_name(attachment) for attachment in file.evaluators]
    if file.project is None and not file.is_continuous:
        arguments.pop("is_continuous", None)
    _, issues = creation_issues(arguments)
    return [
        parsed.issue(_in_file_words(issue.argument), issue.problem, _in_file_words(issue.remedy)) for issue in issues
    ]


def _by_name(attachment: AttachmentFile) -> EvaluatorAttachment:
    fields = attachment.model_dump(exclude={"evaluator", "version"}, exclude_none=True)
    return EvaluatorAttachment.model_validate({"evaluator_id": attachment.evaluator, **fields})


def _in_file_words(text: str) -> str:
    for ours, theirs in _FILE_WORDS:
        text = text.replace(ours, theirs)
    return text


async def _reference_issues(parsed: ParsedFile[TaskFile], bundle: Bundle, target: Target) -> list[FileError]:
    """Return an issue for every missing resource that the task names, with the names of existing ones."""
    file, issues = parsed.content, list[FileError]()
    for resource, name in file.references():
        try:
            reject_id_like_name(resource, name)
        except NotExportable:
            issues.append(
                parsed.issue(resource, "is an id or a link", "files refer to resources by name; write the name")
            )
    if issues:
        return issues
    for resource, parent in (("project", file.project), ("dataset", file.dataset)):
        if parent is not None and (candidates := await target.find(resource, parent)) is not None:
            issues.append(parsed.issue(resource, *_missing(resource, parent, candidates)))
    if file.dataset is not None and ("dataset", file.dataset) in target.ids:
        for index, name in enumerate(file.experiments or ()):
            if (candidates := await target.find("experiment", name, file.dataset)) is not None:
                issues.append(parsed.issue(f"experiments[{index}]", *_missing("experiment", name, candidates)))
    on_dataset = file.type.evaluates and file.dataset is not None and file.project is None
    if on_dataset and not file.experiments and target.client.is_engine:
        problem = "an evaluation task on a dataset needs at least one experiment on an engine"
        issues.append(parsed.issue("experiments", problem, "name at least one"))
    for argument, evaluator, label in _versions_named(file):
        issues += await _version_issues(parsed, argument, evaluator, label, bundle, target)
    return issues + await _configuration_issues(parsed, bundle, target)


def _missing(resource: str, name: str, candidates: list[tuple[str, str]]) -> tuple[str, str]:
    remedy = {
        "project": "a project is created with its first spans: send some, or name another project",
        "dataset": "create it first, or name another dataset",
        "experiment": "create it in the dataset first, or name another experiment",
    }[resource]
    listed = ", ".join(f"'{candidate}'" for candidate, _ in candidates)
    return f"there is no {resource} '{name}'", f"{remedy}; there are: {listed}" if listed else remedy


def _versions_named(file: TaskFile) -> list[tuple[str, str, str | None]]:
    """Return (argument, evaluator, label) of each evaluator that the task names."""
    found = [
        (f"evaluators[{index}]", attachment.evaluator, attachment.version)
        for index, attachment in enumerate(file.evaluators or ())
    ]
    for field, pin in pinned_versions(file.run_configuration):
        found.append((f"run_configuration.{field}", pin.evaluator, pin.version))
    return found


async def _version_issues(
    parsed: ParsedFile[TaskFile], argument: str, evaluator: str, label: str | None, bundle: Bundle, target: Target
) -> list[FileError]:
    existing, in_files = await target.evaluators(), bundle.evaluators.get(evaluator)
    if in_files is None and evaluator not in existing:
        problem = f"there is no evaluator '{evaluator}' and no file for it"
        remedy = f"there are: {shown_names({*existing, *bundle.evaluators})}"
        return [parsed.issue(f"{argument}.evaluator", problem, remedy)]
    if label is None or (in_files is not None and in_files.content.labelled(label) is not None):
        return []
    labels = [version.label for version in in_files.content.versions if version.label] if in_files is not None else []
    problem = f"no version in the evaluator's file has the label '{label}'"
    remedy = f"its labels are: {', '.join(labels) or 'none'}; omit version to use the latest"
    return [parsed.issue(f"{argument}.version", problem, remedy)]


async def _configuration_issues(parsed: ParsedFile[TaskFile], bundle: Bundle, target: Target) -> list[FileError]:
    issues = list[FileError]()
    for reference in references_of(parsed.content.run_configuration):
        if reference.value is None:
            continue
        where = f"run_configuration.{integration_word(reference.resource)}"
        if reference.resource is Resource.AI_INTEGRATION:
            issues += await integration_issues(parsed, where, reference.value, bundle, target)
        elif reference.resource is Resource.AGENT_INTEGRATION:
            issues += await _agent_issues(parsed, where, reference.value, bundle, target)
    return issues


async def _agent_issues(
    parsed: ParsedFile[TaskFile], where: str, name: str, bundle: Bundle, target: Target
) -> list[FileError]:
    """Return an issue if an agent integration is neither in the space nor in the files."""
    present = await target.agent_integrations()
    if name in bundle.agent_integrations or name in present:
        return []
    problem = f"there is no agent integration '{name}' and no file for it"
    return [parsed.issue(where, problem, f"there are: {shown_names(present)}")]


async def _fit_issues(parsed: ParsedFile[TaskFile], bundle: Bundle, target: Target) -> list[FileError]:
    """Validate that the evaluators, as they are after applying, fit the task."""
    attached = []
    for index, attachment in enumerate(parsed.content.evaluators or ()):
        version = await _version_as_it_will_be(attachment, bundle, target)
        if version is not None:
            attached.append(Attached(f"evaluators[{index}]", _by_name(attachment), version))
    issues = fit_issues(parsed.content.type, attached)
    return [
        parsed.issue(_in_file_words(issue.argument), issue.problem, _in_file_words(issue.remedy)) for issue in issues
    ]


async def _version_as_it_will_be(attachment: AttachmentFile, bundle: Bundle, target: Target) -> EvaluatorVersion | None:
    parsed = bundle.evaluators.get(attachment.evaluator)
    if parsed is None:
        existing = (await target.evaluators()).get(attachment.evaluator)
        return await target.latest(existing) if existing is not None else None
    file = parsed.content.labelled(attachment.version) if attachment.version is not None else parsed.content.latest
    if file is None:
        return None
    return EvaluatorVersion(
        id="", evaluator_id=attachment.evaluator, type=file.type, created_at=_NO_TIME,
        template_config=file.template_config, code_config=file.code_config,
    )  # fmt: skip


async def _step(
    parsed: ParsedFile[TaskFile],
    task: Task | None,
    bundle: Bundle,
    target: Target,
    plan: Plan,
    continuous: ContinuousPolicy,
) -> Step | list[FileError]:
    wanted = _with_digests(parsed.content.normalized(), bundle)
    notes = []
    if wanted.is_continuous and not (task is not None and task.is_continuous):
        if continuous is ContinuousPolicy.PAUSED:
            wanted = wanted.model_copy(update={"is_continuous": False})
            notes.append("is_continuous stays false because of --keep-paused; the file says true")
        else:
            notes.append("starts to evaluate new spans as soon as it is applied")
            if continuous is ContinuousPolicy.UNDECIDED:
                plan.undecided.append(wanted.name)
    if task is None:
        writes = [_create(wanted, target)]
        return Step(wanted.kind, wanted.name, parsed.file, Action.CREATE, notes=notes, writes=writes)
    try:
        present = to_document(await task_file(task, target.names))
    except NotExportable as error:
        return [parsed.issue("name", f"a task with this name exists, but {error}", "rename one of the two")]
    found = differences(present, to_document(wanted))
    if fixed := [difference for difference in found if difference.field in _FIXED]:
        problem = f"a task with this name exists and differs in {', '.join(difference.field for difference in fixed)}"
        remedy = "that cannot be changed after creation: rename this task or delete the existing one"
        return [parsed.issue(fixed[0].field, problem, f"{remedy} ({_as_text(fixed[0].before)})")]
    if not found:
        return Step(wanted.kind, wanted.name, parsed.file, Action.UNCHANGED, notes=notes)
    changed = {difference.field.partition(".")[0].partition("[")[0] for difference in found}
    writes = [_update(wanted, task, changed, target)]
    return Step(wanted.kind, wanted.name, parsed.file, Action.UPDATE, found, notes, writes)


def _as_text(value: Any) -> str:
    return f"it has {value}" if value is not None else "it has none"


def _with_digests(file: TaskFile, bundle: Bundle) -> TaskFile:
    """Return the task with each pin labelled by the content of its version, instead of the label in the files."""

    def digest(evaluator: str, label: str) -> str:
        version = bundle.evaluators[evaluator].content.labelled(label)
        assert version is not None
        return version.digest()

    evaluators = [
        attachment.model_copy(update={"version": digest(attachment.evaluator, attachment.version)})
        if attachment.version is not None
        else attachment
        for attachment in file.evaluators or ()
    ]
    configuration = file.run_configuration
    if configuration is not None:
        renamed = {
            field: pin.model_copy(update={"version": digest(pin.evaluator, pin.version)})
            for field, pin in pinned_versions(configuration)
        }
        configuration = configuration.model_copy(update=renamed)
    return file.model_copy(update={"evaluators": evaluators or None, "run_configuration": configuration})


def _create(file: TaskFile, target: Target) -> Write:
    async def create() -> None:
        body = {
            "name": file.name,
            "type": file.type,
            "project_id": target.ids["project", file.project] if file.project is not None else None,
            "dataset_id": target.ids["dataset", file.dataset] if file.dataset is not None else None,
            "experiment_ids": [target.ids["experiment", f"{file.dataset}/{name}"] for name in file.experiments or ()]
            or None,
            **_changeable(file, None, target),
        }
        await target.client.tasks.create(CreateTask.model_validate(body))

    return create


def _update(file: TaskFile, task: Task, changed: set[str], target: Target) -> Write:
    """Return the write that updates the changed fields in one request. Null clears a field."""

    async def update() -> None:
        fields = {name: value for name, value in _changeable(file, task, target).items() if name in changed}
        await target.client.tasks.update(task.id, UpdateTask.model_validate(fields))

    return update


def _changeable(file: TaskFile, task: Task | None, target: Target) -> dict[str, Any]:
    fields: dict[str, Any] = {
        **{name: getattr(file, name) for name in TaskSettings.model_fields},
        "query_filters": file.query_filters,
        "evaluators": [_attachment(attachment, target) for attachment in file.evaluators or ()] or None,
        "run_configuration": _configuration(file, task, target),
    }
    assert fields.keys() == UpdateTask.model_fields.keys() - {"name"}
    # An empty text in a file means the same as a field that is left out.
    return {name: None if value == "" else value for name, value in fields.items()}


def _attachment(attachment: AttachmentFile, target: Target) -> dict[str, Any]:
    fields = attachment.model_dump(exclude={"evaluator", "version"}, exclude_none=True)
    fields["evaluator_id"] = target.ids["evaluator", attachment.evaluator]
    if attachment.version is not None:
        fields["evaluator_version_id"] = target.versions[attachment.evaluator, attachment.version]
    return fields


def _configuration(file: TaskFile, task: Task | None, target: Target) -> dict[str, Any] | None:
    configuration = file.run_configuration
    if configuration is None:
        return None
    pins = dict(pinned_versions(configuration))
    body = configuration.model_dump(exclude_none=True, exclude=set(pins))
    present = task.run_configuration if task is not None else None
    for reference in configuration.references():
        if integration_word(reference.resource) is not None and reference.value is not None:
            body[reference.field] = target.ids[reference.resource.value, reference.value]
        elif (pin := pins.get(pin_field(reference.field))) is not None:
            body[reference.field] = target.versions[pin.evaluator, pin.version]
    for kept in references_of(present):
        # A replacement would lose the origin of an unchanged value, such as the prompt version of the messages.
        source = kept.source_of
        is_same_kind = present is not None and present.experiment_type == configuration.experiment_type
        if is_same_kind and source and kept.value and getattr(present, source) == getattr(configuration, source):
            body[kept.field] = kept.value
    return body
