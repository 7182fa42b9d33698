"""From names to ids for one call: every reference is tried, and those that stand for nothing come out together."""

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
    """Collects the problems of a call's references; `check` raises them. `space` scopes names."""

    def __init__(self, client: Client, space: str | None) -> None:
        self._client = client
        self._space = space
        self.issues: list[ValidationIssue] = []

    def check(self, subject: str) -> None:
        """Raises ValidationErrors when any reference failed so far."""
        if self.issues:
            raise ValidationErrors(subject, self.issues)

    async def project(self, text: str | None) -> str | None:
        return await self._id("project", self._client.resolve.project(text, self._space)) if text else None

    async def dataset(self, text: str | None) -> str | None:
        return await self._id("dataset", self._client.resolve.dataset(text, self._space)) if text else None

    async def experiments(self, texts: Sequence[str] | None, dataset_id: str | None) -> list[str] | None:
        if texts is None:
            return None
        resolve = self._client.resolve.experiment
        found = [
            await self._id(f"experiment_ids[{index}]", resolve(text, dataset_id, self._space))
            for index, text in enumerate(texts)
        ]
        return [id_ for id_ in found if id_ is not None]

    async def tasks(self, argument: str, texts: Sequence[str] | None) -> list[str] | None:
        if texts is None:
            return None
        found = [
            await self._id(f"{argument}[{index}]", self._client.resolve.task(text, self._space))
            for index, text in enumerate(texts)
        ]
        return [id_ for id_ in found if id_ is not None]

    async def run_configuration(self, configuration: RunConfiguration) -> RunConfiguration:
        """The configuration with ids for the names of its integrations."""
        resolvers = {
            Resource.AI_INTEGRATION: self._client.resolve.ai_integration,
            Resource.AGENT_INTEGRATION: self._client.resolve.agent_integration,
        }
        ids: dict[str, str] = {}
        for reference in configuration.references():
            resolve = resolvers.get(reference.resource)
            if resolve is None or reference.value is None:
                continue
            found = await self._id(f"run_configuration.{reference.field}", resolve(reference.value, self._space))
            if found is not None:
                ids[reference.field] = found
        return configuration.model_copy(update=ids) if ids else configuration

    async def attachment(self, attachment: EvaluatorAttachment, path: str) -> EvaluatorAttachment | None:
        """The attachment with ids for names; None when its evaluator could not be found."""
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
        return await self._id(path, self._client.resolve.evaluator(text, self._space))

    async def attachments(
        self, attachments: Sequence[EvaluatorAttachment], path: str = "evaluators"
    ) -> list[tuple[str, EvaluatorAttachment]]:
        """(place, attachment with ids) of each that could be found; the problems of the others are collected."""
        found: list[tuple[str, EvaluatorAttachment]] = []
        for index, attachment in enumerate(attachments):
            place = f"{path}[{index}]"
            if (resolved := await self.attachment(attachment, place)) is not None:
                found.append((place, resolved))
        return found

    async def fit(self, task_type: TaskType | str, attachments: Sequence[tuple[str, EvaluatorAttachment]]) -> list[str]:
        """Collect the problems of evaluators that do not fit the task or each other; return what to say of them."""
        attached: list[Attached] = []
        places: dict[str, str] = {}
        for place, attachment in attachments:
            earlier = places.setdefault(attachment.evaluator_id, place)
            if earlier != place:
                self.issues.append(
                    ValidationIssue(
                        f"{place}.evaluator_id",
                        f"is the same evaluator as {earlier}",
                        "attach each evaluator once",
                    )
                )
            elif (read := await self._read(attachment, place)) is not None:
                attached.append(read)
        self.issues += fit_issues(task_type, attached)
        return fit_notes(attached)

    async def _read(self, attachment: EvaluatorAttachment, place: str) -> Attached | None:
        """The evaluator version behind an attachment; None when this key may not read it."""
        try:
            if attachment.evaluator_version_id:
                version = await self._client.evaluators.get_version(attachment.evaluator_version_id)
            else:
                version = (await self._client.evaluators.get(attachment.evaluator_id)).version
        except Forbidden:
            # Reading is for our own checks only; whether the task may be made is for the service to say.
            return None
        except NotFound:
            pinned = attachment.evaluator_version_id
            argument = "evaluator_version_id" if pinned else "evaluator_id"
            resource = "evaluator version" if pinned else "evaluator"
            self.issues.append(
                ValidationIssue(
                    f"{place}.{argument}",
                    f"no {resource} has this id, or it is hidden from this key",
                    "check it with find",
                )
            )
            return None
        except WrongValue as error:
            self.issues.append(ValidationIssue(f"{place}.evaluator_id", str(error).rstrip("."), "give a name or id"))
            return None
        return Attached(place, attachment, version)

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
