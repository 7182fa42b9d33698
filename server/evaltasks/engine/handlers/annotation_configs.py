"""Annotation configs: the names that annotations in a space may have."""

from __future__ import annotations

from evaltasks.api.annotation_configs import (
    FIELDS_OF_TYPE,
    VARIANT_FIELDS,
    AnnotationConfig,
    AnnotationConfigPage,
    AnnotationConfigType,
    CreateAnnotationConfig,
    ListAnnotationConfigs,
    OptimizationDirection,
    UpdateAnnotationConfig,
)
from evaltasks.api.problems import BadRequest, Conflict, NotFound, Unprocessable
from evaltasks.engine.call import Call
from evaltasks.engine.clock import from_us, to_us
from evaltasks.engine.handlers.pages import NEWEST, key_from, paginate, scope_of
from evaltasks.engine.handlers.spaces import require_space
from evaltasks.engine.store import annotation_configs
from evaltasks.engine.store.store import Row, Transaction


def require_config(tx: Transaction, config_id: str) -> AnnotationConfig:
    """Return the annotation config with this id. Raises NotFound if there is none."""
    config = annotation_configs.find_config(tx, config_id)
    if config is None:
        raise NotFound("There is no annotation config with this id.")
    return config


async def list_annotation_configs(call: Call) -> AnnotationConfigPage:
    """List annotation configs, newest first."""
    query = call.query(ListAnnotationConfigs)
    scope = scope_of("annotation_configs", query)
    (before_seq,) = key_from(scope, query.cursor, [NEWEST])

    def work(tx: Transaction) -> list[Row]:
        if query.space_id is not None:
            require_space(tx, query.space_id)
        return annotation_configs.config_rows(tx, query, before_seq)

    rows = await call.services.store.read(work)
    page, pagination = paginate(rows, query.limit, scope, lambda row: [row["seq"]])
    return AnnotationConfigPage(
        annotation_configs=[annotation_configs.config_from_row(row) for row in page], pagination=pagination
    )


async def create_annotation_config(call: Call) -> AnnotationConfig:
    """Create an annotation config. Its name must be unique in the space."""
    body, services = call.body(CreateAnnotationConfig), call.services

    def work(tx: Transaction) -> AnnotationConfig:
        require_space(tx, body.space_id)
        _refuse_name_in_use(tx, body.space_id, body.name)
        now_us = to_us(services.clock.now())
        config = _validated(
            AnnotationConfig(
                id=services.new_id("AnnotationConfig"),
                name=body.name,
                space_id=body.space_id,
                created_at=from_us(now_us),
                type=body.annotation_config_type,
                **_type_fields(body),
            )
        )
        annotation_configs.insert_config(tx, config, now_us)
        return config

    return await services.store.write(work)


async def get_annotation_config(call: Call) -> AnnotationConfig:
    """Get an annotation config."""
    return await call.services.store.read_by_key(lambda tx: require_config(tx, call.path["annotation_config_id"]))


async def update_annotation_config(call: Call) -> AnnotationConfig:
    """Update an annotation config. Null is the same as a missing field, because no field can be cleared."""
    body = call.body(UpdateAnnotationConfig)
    changes = {**_type_fields(body), **({} if body.name is None else {"name": body.name})}
    if not changes:
        raise BadRequest("No fields to update: provide name, or a field of the config's type.")

    def work(tx: Transaction) -> AnnotationConfig:
        old = require_config(tx, call.path["annotation_config_id"])
        if body.annotation_config_type is not old.type:
            raise Unprocessable(f"annotation_config_type: this config is {old.type}, and its type cannot be changed.")
        new = _validated(old.model_copy(update=changes))
        if new.name != old.name:
            _refuse_name_in_use(tx, old.space_id, new.name)
        annotation_configs.update_config(tx, new)
        return require_config(tx, old.id)

    return await call.services.store.write(work)


async def delete_annotation_config(call: Call) -> None:
    """Delete an annotation config. Annotations with its name stay on their rows."""

    def work(tx: Transaction) -> None:
        annotation_configs.delete_config(tx, require_config(tx, call.path["annotation_config_id"]).id)

    await call.services.store.write(work)


def _type_fields(body: CreateAnnotationConfig | UpdateAnnotationConfig) -> dict[str, object]:
    """Return the fields of the type that the request has; on a new config the direction always has a value."""
    fields: dict[str, object] = {
        name: getattr(body, name) for name in VARIANT_FIELDS if getattr(body, name) is not None
    }
    has_direction = "optimization_direction" in FIELDS_OF_TYPE[body.annotation_config_type]
    if has_direction and isinstance(body, CreateAnnotationConfig):
        fields.setdefault("optimization_direction", OptimizationDirection.NONE)
    return fields


def _validated(config: AnnotationConfig) -> AnnotationConfig:
    if config.type is AnnotationConfigType.CONTINUOUS:
        assert config.minimum_score is not None and config.maximum_score is not None
        if config.minimum_score >= config.maximum_score:
            raise Unprocessable("minimum_score must be below maximum_score.")
    return config


def _refuse_name_in_use(tx: Transaction, space_id: str, name: str) -> None:
    if annotation_configs.find_config_by_name(tx, space_id, name) is not None:
        raise Conflict("An annotation config with this name already exists in the space; choose another name.")
