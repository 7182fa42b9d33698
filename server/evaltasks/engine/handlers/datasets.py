"""Datasets and their examples."""

from __future__ import annotations

import json

from evaltasks.api.datasets import (
    AppendExamples,
    CreateDataset,
    Dataset,
    DatasetPage,
    DatasetVersionQuery,
    DatasetWithExampleIds,
    DeletedExamples,
    DeleteExamples,
    ExamplePage,
    ListDatasets,
    ListExamples,
    RenameDataset,
    SearchExamples,
    UpdateExamples,
)
from evaltasks.api.problems import BadRequest, Conflict, NotFound
from evaltasks.api.wire import JsonObject, RowQuery
from evaltasks.engine.call import Call
from evaltasks.engine.clock import moved_us, to_us
from evaltasks.engine.filters.compile import ALL_ROWS, Target, compile_filter
from evaltasks.engine.handlers import creation
from evaltasks.engine.handlers.columns import columns_text
from evaltasks.engine.handlers.pages import NEWEST, key_from, paginate, scope_of
from evaltasks.engine.handlers.spaces import require_space
from evaltasks.engine.store import datasets
from evaltasks.engine.store.store import Row, Transaction


def require_dataset(tx: Transaction, dataset_id: str) -> Dataset:
    """Return the dataset with its versions. Raises NotFound if there is none with this id."""
    dataset = datasets.find_dataset(tx, dataset_id)
    if dataset is None:
        raise NotFound("There is no dataset with this id.")
    return dataset


async def list_datasets(call: Call) -> DatasetPage:
    """List datasets, newest first, without versions."""
    query = call.query(ListDatasets)
    scope = scope_of("datasets", query)
    (before_seq,) = key_from(scope, query.cursor, [NEWEST])

    def work(tx: Transaction) -> list[Row]:
        if query.space_id is not None:
            require_space(tx, query.space_id)
        return datasets.dataset_rows(tx, query, before_seq)

    rows = await call.services.store.read(work)
    page, pagination = paginate(rows, query.limit, scope, lambda row: [row["seq"]])
    return DatasetPage(datasets=[datasets.dataset_from_row(row) for row in page], pagination=pagination)


async def create_dataset(call: Call) -> Dataset:
    """Create a dataset with its first version. Its name must be unique in the space."""
    body, services = call.body(CreateDataset), call.services
    rows = _with_ids(call, body.examples)

    def work(tx: Transaction) -> Dataset:
        require_space(tx, body.space_id)
        return require_dataset(tx, creation.create_dataset(tx, services, body.space_id, body.name, rows))

    return await services.store.write(work)


async def get_dataset(call: Call) -> Dataset:
    """Get a dataset with its versions."""
    return await call.services.store.read_by_key(lambda tx: require_dataset(tx, call.path["dataset_id"]))


async def rename_dataset(call: Call) -> Dataset:
    """Rename a dataset. The name must be unique in the space."""
    name, services = call.body(RenameDataset).name, call.services

    def work(tx: Transaction) -> Dataset:
        dataset = require_dataset(tx, call.path["dataset_id"])
        if name != dataset.name:
            creation.refuse_dataset_name_in_use(tx, dataset.space_id, name)
        datasets.rename_dataset(tx, dataset.id, name, to_us(services.clock.now()))
        return require_dataset(tx, dataset.id)

    return await services.store.write(work)


async def delete_dataset(call: Call) -> None:
    """Delete a dataset with its versions, examples, experiments and tasks."""

    def work(tx: Transaction) -> None:
        datasets.delete_dataset(tx, require_dataset(tx, call.path["dataset_id"]).id)

    await call.services.store.write(work)


async def list_examples(call: Call) -> ExamplePage:
    """List the examples of a version in the order of creation."""
    query = call.query(ListExamples)
    return await _example_page(call, query, query.dataset_version_id, None)


async def search_examples(call: Call) -> ExamplePage:
    """List the examples that pass a filter, or all without one."""
    query = call.body(SearchExamples)
    if query.filter is not None and not query.filter.strip():
        raise BadRequest("filter is blank; omit it to list all examples.")
    return await _example_page(call, query, query.dataset_version_id or None, query.filter)


async def append_examples(call: Call) -> DatasetWithExampleIds:
    """Add examples to a version, by default the latest one."""
    requested_version, services = call.query(DatasetVersionQuery).dataset_version_id, call.services
    rows = _with_ids(call, call.body(AppendExamples).examples)

    def work(tx: Transaction) -> DatasetWithExampleIds:
        dataset = require_dataset(tx, call.path["dataset_id"])
        version_id = _require_version(tx, dataset, requested_version)
        now_us = to_us(services.clock.now())
        datasets.insert_examples(tx, version_id=version_id, rows=rows, now_us=now_us)
        return _touch(tx, dataset, version_id, list(rows), now_us)

    return await services.store.write(work)


async def update_examples(call: Call) -> DatasetWithExampleIds:
    """Update columns of examples by id, in a version or in a new copy of it.

    Ids that the version does not contain are ignored.
    """
    requested_version, services = call.query(DatasetVersionQuery).dataset_version_id, call.services
    body = call.body(UpdateExamples)
    # Values that cannot be stored are refused before anything is written.
    changes = [
        (str(row["id"]), json.loads(columns_text({**row, "id": None}, f"examples[{index}]")))
        for index, row in enumerate(body.examples)
    ]

    def work(tx: Transaction) -> DatasetWithExampleIds:
        dataset = require_dataset(tx, call.path["dataset_id"])
        version_id = _require_version(tx, dataset, requested_version)
        now_us = to_us(services.clock.now())
        if body.new_version:
            if datasets.has_version_named(tx, dataset.id, body.new_version):
                raise Conflict("The dataset already has a version with this name; choose another name for new_version.")
            from_version_id, version_id = version_id, services.new_id("DatasetVersion")
            datasets.copy_version(
                tx,
                dataset_id=dataset.id,
                from_version_id=from_version_id,
                version_id=version_id,
                name=body.new_version,
                now_us=now_us,
            )
        ids = _change_examples(tx, version_id, changes, now_us)
        return _touch(tx, dataset, version_id, ids, now_us)

    return await services.store.write(work)


async def delete_examples(call: Call) -> DeletedExamples:
    """Delete examples from one version."""
    body, services = call.body(DeleteExamples), call.services

    def work(tx: Transaction) -> DeletedExamples:
        dataset = require_dataset(tx, call.path["dataset_id"])
        version_id = _require_version(tx, dataset, body.dataset_version_id)
        deleted = datasets.delete_examples(tx, version_id, body.example_ids)
        if deleted:
            datasets.touch_dataset(tx, dataset.id, version_id, to_us(services.clock.now()))
        return DeletedExamples(
            completed=True,
            deleted_example_ids=[id_ for id_ in body.example_ids if id_ in deleted],
            not_deleted_example_ids=[id_ for id_ in body.example_ids if id_ not in deleted],
        )

    return await services.store.write(work)


async def _example_page(
    call: Call, query: RowQuery, requested_version: str | None, filter_text: str | None
) -> ExamplePage:
    compiled = ALL_ROWS if filter_text is None else compile_filter(filter_text, Target.EXAMPLE)

    def work(tx: Transaction) -> ExamplePage:
        dataset = require_dataset(tx, call.path["dataset_id"])
        version_id = _require_version(tx, dataset, requested_version)
        # The version is part of the scope, because the pages of a list must not mix two versions.
        scope = scope_of("examples", query, version_id)
        (after_seq,) = key_from(scope, query.cursor, [0])
        rows = datasets.example_rows(tx, version_id, after_seq, query.limit, compiled)
        page, pagination = paginate(rows, query.limit, scope, lambda row: [row["seq"]])
        return ExamplePage(examples=datasets.examples_from_rows(tx, page), pagination=pagination)

    return await call.services.store.read(work)


def _with_ids(call: Call, examples: list[JsonObject]) -> dict[str, str]:
    """Return new example id → columns as JSON text, in the order of the examples."""
    return {
        call.services.new_row_id(): columns_text(columns, f"examples[{index}]")
        for index, columns in enumerate(examples)
    }


def _change_examples(tx: Transaction, version_id: str, changes: list[tuple[str, JsonObject]], now_us: int) -> list[str]:
    """Change columns of examples; of two changes of a column the later one wins.

    Returns:
        The ids of the changed examples in the order of `changes`, each once.
    """
    examples = datasets.examples_by_id(tx, version_id, [id_ for id_, _ in changes])
    columns = {id_: json.loads(row["columns"]) for id_, row in examples.items()}
    for id_, change in changes:
        if id_ in columns:
            columns[id_].update((name, value) for name, value in change.items() if name != "id")
    ids = [id_ for id_ in dict.fromkeys(id_ for id_, _ in changes) if id_ in columns]
    datasets.update_examples(
        tx,
        version_id,
        [
            (id_, columns_text(columns[id_], "the example"), moved_us(examples[id_]["updated_us"], now_us))
            for id_ in ids
        ],
    )
    return ids


def _touch(
    tx: Transaction, dataset: Dataset, version_id: str, example_ids: list[str], now_us: int
) -> DatasetWithExampleIds:
    """Mark dataset and version as updated and return the response for changed examples."""
    datasets.touch_dataset(tx, dataset.id, version_id, now_us)
    changed = require_dataset(tx, dataset.id)
    return DatasetWithExampleIds(
        **changed.model_dump(exclude={"versions"}), dataset_version_id=version_id, example_ids=example_ids
    )


def _require_version(tx: Transaction, dataset: Dataset, version_id: str | None) -> str:
    """Return the id of this version, or of the latest one if `version_id` is None. Raises NotFound."""
    version = datasets.find_version(tx, dataset.id, version_id)
    if version is None:
        raise NotFound(
            "dataset_version_id is not a version of this dataset; omit it for the latest version, or use one of the "
            "dataset's versions."
        )
    return version.id
