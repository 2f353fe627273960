"""
Tuned models, permissions, prompts and reports as rows. The caller holds the transaction.
"""

from __future__ import annotations

import struct
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    RowMapping,
    Select,
    Text,
    and_,
    bindparam,
    cast,
    delete,
    func,
    insert,
    literal,
    literal_column,
    or_,
    select,
    update,
)

from tunery.errors import AlreadyExists, ResourceExhausted
from tunery.service.database.tables import (
    permissions,
    prompts,
    reports,
    tuned_models,
    tuning_examples,
    tuning_tasks,
    without_case,
    without_keys,
)
from tunery.service.tuning import ModelFilter, Progress, Prompt, TuningRequest, check_task_id, random_id
from tunery.types import (
    Advice,
    Caller,
    DataFacts,
    EpochLoss,
    GranteeType,
    Hyperparameters,
    Permission,
    Phase,
    Role,
    Score,
    State,
    TunedModel,
    TuningExample,
    TuningSnapshot,
    TuningTask,
    WeightFormat,
)

_FINAL = [phase for phase in Phase if phase.is_final]

# Both tables have an `id` and times, so the columns of the model get other names.
_MODEL_COLUMNS = {column.name: f"model_{column.name}" for column in tuned_models.columns}

# step u32, epoch u32, mean_loss f64, compute_time f64 in seconds since 1970 UTC: 24 bytes a snapshot.
# One value of 24 × steps bytes instead of one row per step: a million models with 188 steps take 4.5 GB, not 188 M
# rows.
_SNAPSHOT = struct.Struct("<IIdd")

MAX_NAMES = 1000  # among which a similar name is looked for
MAX_PERMISSIONS = 1000  # of a tuned model; they are all read with every request for it
PAGE_SNAPSHOT_BYTES = 24 * 50_000  # of a page of models: 6 MB as JSON
PAGE_PROMPT_BYTES = 8 << 20  # of the documents that are read for a page of prompts

_DOCUMENT_BYTES = func.length(cast(prompts.c.document, Text))  # JSON is written in ASCII

Row = Mapping[Any, Any]  # values by column name


def add_model(
    connection: Connection, model_id: str, request: TuningRequest, idempotency_key: str | None = None
) -> None:
    """Add a tuned model with its owner, its queued task and its examples; raises AlreadyExists if the id is taken."""
    if has_model(connection, model_id):
        raise AlreadyExists(f"There is already a tuned model {model_id!r}. Choose another id or delete that model.")
    now, task_id = datetime.now(UTC), str(uuid.uuid4())
    task: dict[str, object] = {"id": task_id, "tuned_model_id": model_id, "operation_id": random_id()}
    if idempotency_key is not None:
        task["idempotency_key"] = idempotency_key
    connection.execute(insert(tuned_models).values(_model_to_row(model_id, request, now)))
    connection.execute(insert(tuning_tasks).values(task | _task_to_row(request, now)))
    connection.execute(insert(tuning_examples), _examples_to_rows(task_id, request))
    add_permission(connection, model_id, GranteeType.USER, request.user_id, Role.OWNER)


def has_model(connection: Connection, model_id: str) -> bool:
    """Return whether there is a tuned model with this id."""
    return connection.scalar(select(tuned_models.c.id).where(tuned_models.c.id == model_id)) is not None


def get_model(connection: Connection, model_id: str) -> TunedModel | None:
    """Return a tuned model with its curve."""
    row = connection.execute(_one_model(), {"wanted": model_id}).mappings().first()
    return None if row is None else _model(row)


@cache
def _one_model() -> Select[Any]:
    """Return the statement of `get_model`: every request for a model needs it, and building it takes longer than it."""
    return _selected(tuned_models.c.id == bindparam("wanted"))


def row_versions(connection: Connection, model_id: str) -> tuple[object, ...] | None:
    """
    Return what changes with each write to a tuned model, its task or its permissions, in PostgreSQL.

    None if there is no such model, or if it is waiting, because its place in the queue then depends on others.
    """
    given = func.concat(permissions.c.id, literal_column("permissions.xmin::text"))
    versions: tuple[ColumnElement[Any], ...] = (
        literal_column("tuned_models.xmin::text"),
        literal_column("tuning_tasks.xmin::text"),
        select(func.md5(func.string_agg(given, ","))).where(permissions.c.tuned_model_id == model_id).scalar_subquery(),
    )
    is_seen = (tuned_models.c.id == model_id) & (tuning_tasks.c.phase != Phase.QUEUED)
    row = connection.execute(select(*versions).join_from(tuned_models, tuning_tasks).where(is_seen)).first()
    return None if row is None else tuple(row)


def get_unfinished_model(connection: Connection, request_sha256: str) -> TunedModel | None:
    """Return the newest tuned model of this request whose task has not ended, with its curve."""
    same, is_unfinished = tuning_tasks.c.request_sha256 == request_sha256, tuning_tasks.c.phase.not_in(_FINAL)
    return next(iter(_models(connection, same, is_unfinished)), None)


def list_models(connection: Connection, words: str | None, *, with_snapshots: bool) -> list[TunedModel]:
    """Return the tuned models, newest first; `words` must be in the display name or description, ignoring case."""
    return _models(connection, *([_mentions(words)] if words else []), with_snapshots=with_snapshots)


def list_named(connection: Connection, display_name: str) -> list[TunedModel]:
    """Return the tuned models with exactly this display name, newest first, with their curves."""
    return _models(connection, tuned_models.c.display_name == display_name)


def list_page(
    connection: Connection,
    caller: Caller,
    wanted: ModelFilter,
    *,
    before: int | None,
    limit: int,
    with_snapshots: bool = True,
) -> tuple[list[tuple[int, TunedModel]], bool]:
    """
    Return the tuned models that a caller may see with their row numbers, newest first, and whether there are more.

    Only numbers below `before` are included. A page with long curves has fewer than `limit`, but at least one.
    """
    ids = given_to_everyone() if wanted.is_everyone else given_to(caller, wanted.roles)
    number = tuning_tasks.c.number
    chosen = select(number).where(tuning_tasks.c.tuned_model_id.in_(ids))
    if wanted.words:
        chosen = chosen.join(tuned_models).where(*map(_mentions, wanted.words))
    if before is not None:
        chosen = chosen.where(number < before)
    # only a page is read in full: sorting whole rows of somebody with many models takes several times as long
    first = chosen.order_by(number.desc()).limit(limit + 1).correlate(None)
    statement = _selected(number.in_(first), with_snapshots=with_snapshots)
    page: list[tuple[int, TunedModel]] = []
    packed_bytes = 0
    with connection.execute(statement.execution_options(yield_per=10)) as rows:  # closed also where a page is full
        for row in rows.mappings():
            packed_bytes += len(row.get("snapshots", b""))
            if page and (len(page) >= limit or packed_bytes > PAGE_SNAPSHOT_BYTES):
                return page, True
            page.append((row["number"], _model(row)))
    return page, False


def list_names(connection: Connection) -> list[tuple[str, str]]:
    """Return id and display name of the newest tuned models, MAX_NAMES at most."""
    joined = select(tuned_models.c.id, tuned_models.c.display_name).join(tuning_tasks)
    newest = joined.order_by(tuning_tasks.c.number.desc()).limit(MAX_NAMES)
    return [(row.id, row.display_name) for row in connection.execute(newest)]


def list_on_bases(connection: Connection) -> list[tuple[str, str, str, bool]]:
    """Return base, id and display name of every tuned model, oldest first, and whether its task has ended."""
    columns = (tuned_models.c.base_model, tuned_models.c.id, tuned_models.c.display_name, tuning_tasks.c.phase)
    joined = select(*columns).join(tuning_tasks).order_by(tuning_tasks.c.number)
    return [(base, model, title, phase in _FINAL) for base, model, title, phase in connection.execute(joined)]


def change_model(connection: Connection, model_id: str, columns: Mapping[str, Any]) -> None:
    """Set display name, description or answer defaults of a tuned model."""
    statement = update(tuned_models).where(tuned_models.c.id == model_id)
    connection.execute(statement.values(**columns, update_time=datetime.now(UTC)))


def remove_model(connection: Connection, model_id: str) -> bool:
    """Delete a tuned model with its task, examples and permissions; return False if there is none."""
    return connection.execute(delete(tuned_models).where(tuned_models.c.id == model_id)).rowcount > 0


def list_examples(connection: Connection, task_id: str) -> tuple[list[TuningExample], list[TuningExample]]:
    """Return the examples and the held-out examples of a task, in the user's order."""
    table = tuning_examples
    statement = select(table).where(table.c.task_id == task_id).order_by(table.c.position)
    examples: list[TuningExample] = []
    held_out: list[TuningExample] = []
    for row in connection.execute(statement):
        (held_out if row.is_held_out else examples).append(TuningExample(row.text_input, row.output))
    return examples, held_out


def list_examples_page(
    connection: Connection, task_id: str, is_held_out: bool, *, start: int, limit: int
) -> list[TuningExample]:
    """Return up to `limit` examples of a task, or held-out ones, after the first `start`."""
    statement = select(tuning_examples).where(_is_example(task_id, is_held_out)).order_by(tuning_examples.c.position)
    rows = connection.execute(statement.offset(start).limit(limit))
    return [TuningExample(row.text_input, row.output) for row in rows]


def count_examples(connection: Connection, task_id: str, is_held_out: bool) -> int:
    """Return how many examples, or held-out ones, a task has."""
    statement = select(func.count()).select_from(tuning_examples).where(_is_example(task_id, is_held_out))
    return connection.scalar(statement) or 0


def _is_example(task_id: str, is_held_out: bool) -> ColumnElement[bool]:
    return and_(tuning_examples.c.task_id == task_id, tuning_examples.c.is_held_out.is_(is_held_out))


def _selected(*conditions: ColumnElement[bool], with_snapshots: bool = True) -> Select[Any]:
    model = [tuned_models.c[name].label(label) for name, label in _MODEL_COLUMNS.items()]
    task = [column for column in tuning_tasks.columns if with_snapshots or column.name != "snapshots"]
    joined = select(*model, *task).join_from(tuned_models, tuning_tasks).where(*conditions)
    return joined.order_by(tuning_tasks.c.number.desc())


def _mentions(word: str) -> ColumnElement[bool]:
    return or_(*(has_word(text, word) for text in (tuned_models.c.display_name, tuned_models.c.description)))


def has_word(column: ColumnElement[str], word: str) -> ColumnElement[bool]:
    """Return the condition that a text contains another, ignoring case."""
    escaped = "".join(f"/{character}" if character in "/%_" else character for character in word)
    return without_case(column).like(without_case(literal(f"%{escaped}%", Text)), escape="/")


def _models(connection: Connection, *conditions: ColumnElement[bool], with_snapshots: bool = True) -> list[TunedModel]:
    statement = _selected(*conditions, with_snapshots=with_snapshots)
    return [_model(row) for row in connection.execute(statement).mappings()]


def _model(row: RowMapping) -> TunedModel:
    columns = {name: row[label] for name, label in _MODEL_COLUMNS.items()}
    epoch = row["artifact_epoch"]
    derived = {
        "state": State(columns["state"]),
        "task": task_from_row(row),
        "artifact": None if epoch is None else artifact_path(row["id"], epoch),
        "manifest_sha256": row["manifest_sha256"],
        "reader_project_numbers": tuple(columns["reader_project_numbers"] or ()),
    }
    return TunedModel(**columns | derived)


def list_permissions(connection: Connection, model_id: str) -> tuple[Permission, ...]:
    """Return the permissions of a tuned model, oldest first."""
    return list_permissions_of(connection, [model_id])


def list_permissions_of(connection: Connection, model_ids: Sequence[str]) -> tuple[Permission, ...]:
    """Return the permissions of several tuned models, oldest first."""
    statement = (
        select(permissions)
        .where(permissions.c.tuned_model_id.in_(model_ids))
        .order_by(permissions.c.create_time, permissions.c.id)
    )
    return tuple(_permission(row) for row in connection.execute(statement).mappings())


def add_permission(
    connection: Connection, model_id: str, grantee_type: GranteeType, grantee: str | None, role: Role
) -> str:
    """Add a permission and return its id; raises AlreadyExists if the grantee has one, ResourceExhausted."""
    same = and_(*(permissions.c[name] == value for name, value in _key(model_id, grantee_type, grantee).items()))
    if connection.scalar(select(permissions.c.id).where(same)) is not None:
        who = grantee or "Everyone"
        raise AlreadyExists(f"{who} already has a permission on tunedModels/{model_id}. Change its role instead.")
    given = select(func.count()).select_from(permissions).where(permissions.c.tuned_model_id == model_id)
    if (connection.scalar(given) or 0) >= MAX_PERMISSIONS:
        raise ResourceExhausted(
            f"tunedModels/{model_id} has {MAX_PERMISSIONS:,} permissions, which is the limit. Share it with a group."
        )
    row = {"id": random_id(), "role": role, "create_time": datetime.now(UTC)}
    connection.execute(insert(permissions).values(row | _key(model_id, grantee_type, grantee)))
    return str(row["id"])


def change_role(connection: Connection, permission_id: str, role: Role) -> None:
    """Set the role of a permission."""
    connection.execute(update(permissions).where(permissions.c.id == permission_id).values(role=role))


def remove_permission(connection: Connection, permission_id: str) -> None:
    """Delete a permission."""
    connection.execute(delete(permissions).where(permissions.c.id == permission_id))


def transfer_ownership(connection: Connection, model_id: str, new_owner: str) -> None:
    """Make a user the owner of a tuned model; earlier owners become writers."""
    mine = permissions.c.tuned_model_id == model_id
    connection.execute(update(permissions).where(mine, permissions.c.role == Role.OWNER).values(role=Role.WRITER))
    theirs = and_(mine, permissions.c.grantee_type == GranteeType.USER, permissions.c.grantee == new_owner)
    if connection.execute(update(permissions).where(theirs).values(role=Role.OWNER)).rowcount == 0:
        add_permission(connection, model_id, GranteeType.USER, new_owner, Role.OWNER)


def given_to(caller: Caller, roles: Iterable[Role]) -> Select[tuple[str]]:
    """
    Return a query for the ids of tuned models on which a caller has one of these roles, personally or through a group.
    """
    column = permissions.c
    user = and_(column.grantee_type == GranteeType.USER, column.grantee == caller.user_id)
    group = and_(column.grantee_type == GranteeType.GROUP, column.grantee.in_(sorted(caller.groups)))
    return select(column.tuned_model_id).where(or_(user, group), column.role.in_(list(roles)))


def given_to_everyone() -> Select[tuple[str]]:
    """Return a query for the ids of tuned models that everyone may use."""
    is_everyone = and_(permissions.c.grantee_type == GranteeType.EVERYONE, permissions.c.grantee == "")
    return select(permissions.c.tuned_model_id).where(is_everyone)


def _key(model_id: str, grantee_type: GranteeType, grantee: str | None) -> dict[str, str]:
    return {"tuned_model_id": model_id, "grantee_type": grantee_type, "grantee": grantee or ""}


def _permission(row: Any) -> Permission:
    return Permission(
        id=row["id"],
        tuned_model_id=row["tuned_model_id"],
        grantee_type=GranteeType(row["grantee_type"]),
        email_address=row["grantee"] or None,
        role=Role(row["role"]),
    )


def add_prompt(connection: Connection, prompt: Prompt) -> None:
    """Add a prompt."""
    values = asdict(prompt)
    connection.execute(insert(prompts).values({column.name: values[column.name] for column in prompts.columns}))


def get_prompt(connection: Connection, user_id: str, prompt_id: str) -> Prompt | None:
    """Return a prompt of a user; None if there is none, or if it belongs to somebody else."""
    row = connection.execute(select(prompts).where(_is_prompt(user_id, prompt_id))).mappings().first()
    return None if row is None else Prompt(**row)


def list_prompts(
    connection: Connection, user_id: str, words: tuple[str, ...], *, start: int, limit: int
) -> tuple[list[Prompt], bool]:
    """
    Return the prompts of a user from index `start` on without their rows, last changed first, and whether there are
    more.

    Every word must be in the name. A page with large documents has fewer than `limit`, but at least one.
    """
    named = (has_word(prompts.c.display_name, word) for word in words)
    statement = select(prompts.c.id).where(prompts.c.user_id == user_id, *named)
    ordered = statement.order_by(prompts.c.update_time.desc(), prompts.c.id).offset(start).limit(limit + 1)
    page: list[Prompt] = []
    looked_into = 0
    for prompt_id in connection.scalars(ordered).all():
        row = connection.execute(_without_rows().where(prompts.c.id == prompt_id)).mappings().one()
        looked_into += row["bytes"]
        if page and (len(page) >= limit or looked_into > PAGE_PROMPT_BYTES):
            return page, True
        page.append(Prompt(**{name: value for name, value in row.items() if name != "bytes"}))
    return page, False


def _without_rows() -> Select[Any]:
    """
    Return a query for prompts in which the database leaves out the rows, since a hundred of them would take gigabytes.
    """
    document = without_keys(prompts.c.document, "rows", "test_rows").label("document")
    row_count = func.coalesce(func.json_array_length(prompts.c.document["rows"]), 0).label("row_count")
    others = [column for column in prompts.columns if column.name != "document"]
    return select(*others, document, row_count, _DOCUMENT_BYTES.label("bytes"))


def prompt_bytes(connection: Connection, user_id: str, *, except_for: str = "") -> int:
    """Return the size of the documents of a user's prompts, not counting one of them."""
    mine = (prompts.c.user_id == user_id) & (prompts.c.id != except_for)
    return connection.scalar(select(func.sum(_DOCUMENT_BYTES)).where(mine)) or 0


def count_prompts(connection: Connection, user_id: str) -> int:
    """Return how many prompts a user has."""
    return connection.scalar(select(func.count()).select_from(prompts).where(prompts.c.user_id == user_id)) or 0


def change_prompt(connection: Connection, user_id: str, prompt_id: str, columns: Mapping[str, Any]) -> None:
    """Set columns of a prompt of a user."""
    connection.execute(update(prompts).where(_is_prompt(user_id, prompt_id)).values(**columns))


def remove_prompt(connection: Connection, user_id: str, prompt_id: str) -> bool:
    """Delete a prompt of a user; return False if there is none."""
    return connection.execute(delete(prompts).where(_is_prompt(user_id, prompt_id))).rowcount > 0


def _is_prompt(user_id: str, prompt_id: str) -> ColumnElement[bool]:
    return and_(prompts.c.user_id == user_id, prompts.c.id == prompt_id)


def set_report(connection: Connection, model_id: str, kind: str, document: Mapping[str, Any]) -> None:
    """Store a report; an earlier one of the same kind is replaced."""
    connection.execute(delete(reports).where(_is_report(model_id, kind)))
    row = {"tuned_model_id": model_id, "kind": kind, "document": dict(document), "create_time": datetime.now(UTC)}
    connection.execute(insert(reports).values(row))


def get_report(connection: Connection, model_id: str, kind: str) -> dict[str, Any] | None:
    """Return the document of the report of a kind."""
    document: dict[str, Any] | None = connection.scalar(select(reports.c.document).where(_is_report(model_id, kind)))
    return document


def list_reports(connection: Connection, model_id: str) -> dict[str, dict[str, Any]]:
    """Return all report documents of a tuned model by kind."""
    statement = select(reports.c.kind, reports.c.document).where(reports.c.tuned_model_id == model_id)
    return {row.kind: row.document for row in connection.execute(statement.order_by(reports.c.kind))}


def list_scores(connection: Connection, model_ids: Sequence[str]) -> dict[str, Score]:
    """Return the scores of the newest evaluations of these models, by model; an evaluation of a base alone has none."""
    parts = [reports.c.document[name] for name in ("metric", "verdict", "contenders")]
    statement = select(reports.c.tuned_model_id, *parts)
    found = connection.execute(statement.where(reports.c.kind == "EVALUATION", reports.c.tuned_model_id.in_(model_ids)))
    scores = {}
    for model_id, metric, verdict, candidates in found:
        values = {one["name"]: one["figures"][0]["value"] for one in candidates if one["figures"]}
        if "tuned" in values:
            scores[model_id] = Score(metric, values["tuned"], values.get("base"), (verdict or {}).get("kind"))
    return scores


def _is_report(model_id: str, kind: str) -> ColumnElement[bool]:
    return and_(reports.c.tuned_model_id == model_id, reports.c.kind == kind)


def pack_snapshots(snapshots: Iterable[TuningSnapshot]) -> bytes:
    """Return the snapshots as 24 bytes each."""
    return b"".join(_SNAPSHOT.pack(s.step, s.epoch, s.mean_loss, s.compute_time.timestamp()) for s in snapshots)


def unpack_snapshots(packed: bytes) -> tuple[TuningSnapshot, ...]:
    """Return the snapshots that `pack_snapshots` packed."""
    return tuple(
        TuningSnapshot(step, epoch, loss, datetime.fromtimestamp(seconds, UTC))
        for step, epoch, loss, seconds in _SNAPSHOT.iter_unpack(packed)
    )


def task_from_row(row: Row) -> TuningTask:
    """Return the task in a row of `tuning_tasks`; without the column `snapshots` its curve is empty."""
    check_task_id(row["id"])
    same = {name: row[name] for name in TuningTask.__dataclass_fields__ if name in row}
    changed = {
        "phase": Phase(row["phase"]),
        "hyperparameters": Hyperparameters(
            row["epoch_count"],
            row["batch_size"],
            float(row["learning_rate"]),  # SQLite keeps whole numbers as such and returns them so
            label_share=(row["settings"] or {}).get("label_share", 0.0),
            weights=WeightFormat((row["settings"] or {}).get("weights", WeightFormat.AUTO)),
        ),
        "data": DataFacts(row["data_rows"], row["data_sha256"], row["data_source"]),
        "claim_number": row["fencing_epoch"],
        "snapshots": unpack_snapshots(row.get("snapshots", b"")),
        "epoch_losses": tuple(EpochLoss(**_known(EpochLoss, loss)) for loss in row["epoch_losses"] or ()),
        "advice": Advice(**_known(Advice, row["advice"])) if row["advice"] else None,
        "settings": row["settings"] or {},
        "versions": row["versions"] or {},
    }
    return TuningTask(**same | changed)


def _known(kind: type[EpochLoss | Advice], document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a document that this version knows; a newer one, which works beside it, may add some."""
    return {name: value for name, value in document.items() if name in kind.__dataclass_fields__}


def artifact_path(task_id: str, claim_number: int) -> str:
    """Return the folder where the adapter of one claim of a task is published, relative to the data folder."""
    return f"models/{task_id}/{claim_number}"


def _model_to_row(model_id: str, request: TuningRequest, now: datetime) -> dict[str, object]:
    same = (
        "description",
        "base_model",
        "base_digest",
        "temperature",
        "top_p",
        "top_k",
        "source_tuned_model",
        "tuned_again_from",
        "settings_reason",
        "fold_count",
    )
    return {name: getattr(request, name) for name in (*same, "base_name_asked")} | {
        "id": model_id,
        "display_name": request.display_name or model_id,
        "state": State.CREATING,
        "create_time": now,
        "update_time": now,
        "reader_project_numbers": list(request.reader_project_numbers) or None,
    }


def _task_to_row(request: TuningRequest, now: datetime) -> dict[str, object]:
    return {
        "user_id": request.user_id,
        "phase": Phase.QUEUED,
        "total_steps": request.total_steps,
        "request_sha256": request.sha256(),
        "create_time": now,
        "epoch_count": request.hyperparameters.epoch_count,
        "batch_size": request.hyperparameters.batch_size,
        "learning_rate": request.hyperparameters.learning_rate,
        "seed": request.seed,
        **{f"data_{name}": value for name, value in asdict(request.data).items()},
        "held_out_rows": len(request.held_out),
        # there is no column for what most tasks have not: the settings in force hold it from the start
        "settings": _rare_settings(request.hyperparameters) or None,
        "snapshots": b"",
    }


def _rare_settings(values: Hyperparameters) -> dict[str, object]:
    facts = values.facts()
    return {name: facts[name] for name in ("label_share", "weights") if name in facts}


def _examples_to_rows(task_id: str, request: TuningRequest) -> list[dict[str, object]]:
    """Return the rows of `tuning_examples`: the examples, then the held-out ones."""
    marked = [(False, example) for example in request.examples] + [(True, example) for example in request.held_out]
    return [
        {"task_id": task_id, "position": position, "is_held_out": is_held_out, **asdict(example)}
        for position, (is_held_out, example) in enumerate(marked)
    ]


def progress_to_columns(progress: Progress) -> dict[str, object]:
    """Return the columns that a progress report sets, except steps and snapshots, which must not decrease."""
    columns: dict[str, object] = {
        "checkpoint_step": progress.checkpoint_step,
        "micro_batch_size": progress.micro_batch_size,
        "epoch_losses": None if progress.epoch_losses is None else [asdict(loss) for loss in progress.epoch_losses],
        "advice": None if progress.advice is None else asdict(progress.advice),
        "settings": None if progress.settings is None else dict(progress.settings),
        "versions": None if progress.versions is None else dict(progress.versions),
    }
    return {name: value for name, value in columns.items() if value is not None}
