"""Resolve the names in one call to ids. All references are tried, and those that fail are reported together."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence

from evaltasks.api.problems import Forbidden, NotFound
from evaltasks.api.run_configurations import Resource, RunConfiguration
from evaltasks.api.tasks import EvaluatorAttachment, TaskType
from evaltasks.client.client import Client
from evaltasks.client.errors import NotResolved, WrongValue
from evaltasks.client.resolve import Named
from evaltasks.insight.evaluator_rules import Attached, fit_issues, fit_notes
from evaltasks.insight.validation import ValidationErrors, ValidationIssue

_CANDIDATES_MAX = 5


class References:
    """Resolves the references of one call and collects their problems.

    Attributes:
        issues: The problems so far; `check` raises them.
    """

    def __init__(self, client: Client, space: str | None) -> None:
        self._client = client
        self._space = space
        self.issues: list[ValidationIssue] = []

    def check(self, subject: str) -> None:
        """Report the problems collected so far.

        Raises:
            ValidationErrors: At least one reference could not be resolved.
        """
        if self.issues:
            raise ValidationErrors(subject, self.issues)

    async def project(self, text: str | None) -> str | None:
        """Return the id of a project, or None if it is missing or was not found."""
        return await self._id("project", self._client.resolve.project(text, self._space)) if text else None

    async def dataset(self, text: str | None) -> str | None:
        """Return the id of a dataset, or None if it is missing or was not found."""
        return await self._id("dataset", self._client.resolve.dataset(text, self._space)) if text else None

    async def experiments(self, texts: Sequence[str] | None, dataset_id: str | None) -> list[str] | None:
        """Return the ids of experiments of a dataset, without those that were not found."""
        if texts is None:
            return None
        resolve = self._client.resolve.experiment
        ids = [
            await self._id(f"experiment_ids[{index}]", resolve(text, dataset_id, self._space))
            for index, text in enumerate(texts)
        ]
        return [id_ for id_ in ids if id_ is not None]

    async def tasks(self, argument: str, texts: Sequence[str] | None) -> list[str] | None:
        """Return the ids of tasks, without those that were not found."""
        if texts is None:
            return None
        ids = [
            await self._id(f"{argument}[{index}]", self._client.resolve.task(text, self._space))
            for index, text in enumerate(texts)
        ]
        return [id_ for id_ in ids if id_ is not None]

    async def run_configuration(self, configuration: RunConfiguration) -> RunConfiguration:
        """Return the configuration with ids instead of the names of its integrations."""
        resolvers = {
            Resource.AI_INTEGRATION: self._client.resolve.ai_integration,
            Resource.AGENT_INTEGRATION: self._client.resolve.agent_integration,
        }
        ids: dict[str, str] = {}
        for reference in configuration.references():
            resolve = resolvers.get(reference.resource)
            if resolve is None or reference.value is None:
                continue
            id_ = await self._id(f"run_configuration.{reference.field}", resolve(reference.value, self._space))
            if id_ is not None:
                ids[reference.field] = id_
        return configuration.model_copy(update=ids) if ids else configuration

    async def attachment(self, attachment: EvaluatorAttachment, path: str) -> EvaluatorAttachment | None:
        """Return the attachment with ids instead of names, or None if its evaluator was not found."""
        evaluator_id = await self.evaluator(attachment.evaluator_id, f"{path}.evaluator_id")
        if evaluator_id is None:
            return None
        update: dict[str, str] = {"evaluator_id": evaluator_id}
        if attachment.evaluator_version_id:
            version_id = await self._id(
                f"{path}.evaluator_version_id",
                self._client.resolve.evaluator_version(attachment.evaluator_version_id, evaluator_id),
            )
            if version_id is None:
                return None
            update["evaluator_version_id"] = version_id
        return attachment.model_copy(update=update)

    async def evaluator(self, text: str, path: str) -> str | None:
        """Return the id of an evaluator, or None if it was not found."""
        return await self._id(path, self._client.resolve.evaluator(text, self._space))

    async def attachments(
        self, attachments: Sequence[EvaluatorAttachment], path: str = "evaluators"
    ) -> list[tuple[str, EvaluatorAttachment]]:
        """Resolve several attachments.

        Returns:
            The path and the attachment with ids of each evaluator that was found. Problems of the others are collected.
        """
        resolved: list[tuple[str, EvaluatorAttachment]] = []
        for index, attachment in enumerate(attachments):
            item_path = f"{path}[{index}]"
            if (with_ids := await self.attachment(attachment, item_path)) is not None:
                resolved.append((item_path, with_ids))
        return resolved

    async def fit(self, task_type: TaskType | str, attachments: Sequence[tuple[str, EvaluatorAttachment]]) -> list[str]:
        """Check that the evaluators fit the task and each other.

        Args:
            task_type: The type of the task.
            attachments: The path and the resolved attachment of each evaluator.

        Returns:
            Notes about the evaluators for the answer. Problems are collected.
        """
        attached: list[Attached] = []
        paths: dict[str, str] = {}
        for path, attachment in attachments:
            earlier = paths.setdefault(attachment.evaluator_id, path)
            if earlier != path:
                self.issues.append(
                    ValidationIssue(
                        f"{path}.evaluator_id",
                        f"is the same evaluator as {earlier}",
                        "attach each evaluator once",
                    )
                )
            elif (read := await self._read(attachment, path)) is not None:
                attached.append(read)
        self.issues += fit_issues(task_type, attached)
        return fit_notes(attached)

    async def _read(self, attachment: EvaluatorAttachment, path: str) -> Attached | None:
        """Return the evaluator version of an attachment, or None if this key must not read it."""
        try:
            if attachment.evaluator_version_id:
                version = await self._client.evaluators.get_version(attachment.evaluator_version_id)
            else:
                version = (await self._client.evaluators.get(attachment.evaluator_id)).version
        except Forbidden:
            # Only our own checks need to read it. The service decides whether the task may be created.
            return None
        except NotFound:
            pinned = attachment.evaluator_version_id
            argument = "evaluator_version_id" if pinned else "evaluator_id"
            resource = "evaluator version" if pinned else "evaluator"
            self.issues.append(
                ValidationIssue(
                    f"{path}.{argument}",
                    f"is not the id of an {resource} that this key can see",
                    "check it with find",
                )
            )
            return None
        except WrongValue as error:
            self.issues.append(ValidationIssue(f"{path}.evaluator_id", str(error).rstrip("."), "use a name or an id"))
            return None
        return Attached(path, attachment, version)

    async def _id(self, argument: str, resolving: Awaitable[Named]) -> str | None:
        try:
            return (await resolving).id
        except NotResolved as error:
            self.issues.append(_unresolved(argument, error))
            return None


def _unresolved(argument: str, error: NotResolved) -> ValidationIssue:
    text = str(error).rstrip(".")
    listed = ", ".join(f"'{name}' ({id_})" for name, id_ in error.candidates[:_CANDIDATES_MAX])
    return ValidationIssue(
        argument, text[:1].lower() + text[1:], f"candidates: {listed}" if listed else "look it up with find"
    )
