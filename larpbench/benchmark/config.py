"""A run as a file: the options of ``larpbench run`` in TOML, under the same names.

    datasets = ["demo", "my-data"]
    recommenders = ["itemknn", "ridge"]
    seeds = 3
    [encoders]
    tfidf = "tfidf"
    mine = "precomputed:vectors.npz"

Paths in it are relative to the working directory, as they are on the command line.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from larpbench.errors import UnknownNameError, UsageError, clipped
from larpbench.name_lists import names

if TYPE_CHECKING:
    from larpbench.benchmark.plan import Plan
    from larpbench.engine.base import Engine

_KEYS = {"dataset": "datasets", "if": "condition", "options": "task_options"}
"""Keys of the file that are not the names of `RunConfig`'s fields, and which fields they are."""
_NOT_IN_PLANS = {"datasets", "column", "download", "offline", "wait", "digest"}
_OF_THE_ENGINE = ("workers", "gpus_per_worker", "shard_timeout")
_HELP = "larpbench run --help"


def _as_names(value: object) -> object:
    if isinstance(value, str):
        value = names(value)
    return tuple(dict.fromkeys(value)) if isinstance(value, list) and all(map(_is_text, value)) else value


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _as_encoders(value: object) -> object:
    named = [_labelled(*entry) for entry in value.items()] if isinstance(value, dict) else value
    return _as_names(named)


def _as_path(value: object) -> object:
    return Path(_expanded(value)) if isinstance(value, str) and value and "\0" not in value else value


def _expanded(path: str) -> str:
    """Return a path from a file, where no shell has put the home folder in the place of ``~``."""
    return str(Path(path).expanduser()) if path.startswith("~/") else path


def _as_options(value: object) -> object:
    return {str(name).replace("-", "_"): each for name, each in value.items()} if isinstance(value, dict) else value


_Text = Annotated[str, Field(min_length=1, pattern=r"^[^\x00]*$")]
_Names = Annotated[tuple[_Text, ...], BeforeValidator(_as_names), Field(min_length=1)]


class RunConfig(BaseModel):
    """All options of a run: those of a file, or of the command line.

    Each field but the data sets and `column` is the argument of `larpbench.plan` of its name, or a flag of
    ``larpbench run``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    task: _Text = Field("continuation", description="the name of a task")
    task_options: Annotated[dict[str, Any], BeforeValidator(_as_options)] = Field(
        {}, description="a table of options of the task: larpbench describe task NAME"
    )
    datasets: _Names | None = Field(None, description="names or folders of data sets; by default that of the task")
    encoders: Annotated[tuple[_Text, ...], BeforeValidator(_as_encoders), Field(min_length=1)] = Field(
        ("default",), description="a list of names, or a table: LABEL = NAME, or LABEL = {encoder = NAME, column = ..}"
    )
    column: _Text | None = Field(None, description="a column of precomputed:FILE")
    recommenders: _Names = Field(("default",), description="a list of names")
    seeds: int = Field(3, ge=1, le=1_000, description="a whole number from 1 to 1000")
    budget: int = Field(6, ge=1, le=10_000, description="a whole number from 1 to 10000")
    draws: int = Field(1, ge=1, le=10_000, description="a whole number from 1 to 10000")
    limit: int | None = Field(None, ge=1, description="a whole number from 1")
    device: Literal["cpu", "cuda"] = Field("cpu", description="cpu or cuda")
    similarity_by: _Text | None = Field(None, description="the name of an encoder")
    allow_leaky: bool = Field(False, description="true or false")
    backend: Literal["torch", "openvino"] = Field("torch", description="torch or openvino")
    output: Annotated[Path, BeforeValidator(_as_path)] = Field(Path("results"), description="the path of a folder")
    condition: Literal["missing", "stale", "always"] = Field("missing", description="missing, stale or always")
    download: bool = Field(False, description="true or false")
    offline: bool = Field(False, description="true or false")
    wait: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = Field(
        None, description="a number of seconds from 0"
    )
    engine: _Text = Field("local", description="local, ray, ray:auto or ray:HOST:PORT")
    workers: int | None = Field(None, ge=1, le=100_000, description="a whole number from 1 to 100000")
    gpus_per_worker: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = Field(
        None, description="0, a part of 1, or a whole number"
    )
    shard_timeout: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = Field(
        None, description="a number of seconds above 0"
    )
    digest: str | None = None
    """sha256 of the file; None where there is none."""

    @property
    def encoder_names(self) -> list[str]:
        """The names of encoders; a column or a backend that is given apart is part of those that have one.

        Raises:
            UsageError: If a column is given, and no file, or one whose name has a column already.
        """
        from larpbench.encoders.precision import named_for
        from larpbench.encoders.precomputed import with_column

        names = list(self.encoders) if self.column is None else with_column(self.encoders, self.column)
        return [named_for(name, self.backend) for name in names]

    def chosen_engine(self) -> Engine:
        """Return what computes.

        Raises:
            UsageError: If there is no such engine, or it has no such options.
        """
        from larpbench.engine.choice import engine_named

        return engine_named(self.engine, **{name: getattr(self, name) for name in _OF_THE_ENGINE})

    def plans(self) -> list[Plan]:
        """Return the plan of each data set, to be run one after the other.

        Raises:
            LarpbenchError: What `larpbench.plan` raises.
        """
        from larpbench.benchmark.choice import chosen_task
        from larpbench.benchmark.plan import default_store, plan
        from larpbench.encoders.run.sharing import Patience

        fields = type(self).model_fields
        chosen = {
            name: getattr(self, name) for name in fields if name not in (*_NOT_IN_PLANS, "engine", *_OF_THE_ENGINE)
        }
        chosen |= {"encoders": self.encoder_names, "output": self.output.absolute()}
        tested = self.datasets or (chosen_task(self.task).default_dataset,)
        patience, plans = Patience(self.wait), []
        for each in tested:
            store = default_store()
            store.patience = patience
            plans.append(replace(plan(_expanded(each), **chosen, store=store), config=self.digest))
        return plans


def read_config(path: str | Path, changes: Mapping[str, Any] | None = None) -> RunConfig:
    """Return the run that a TOML file describes.

    Args:
        path: The file.
        changes: Field -> value in place of the file's; task options take the place of those of the same name. With
            ``local`` as the engine, the file's options of workers do not count.

    Raises:
        UsageError: If there is no such file, it is no TOML, or holds an unknown key or a value that makes no sense.
    """
    path = Path(path)
    try:
        raw = _content(path)
        values = _fields(_parsed(raw))
        if changes and changes.get("engine") == "local":  # which has none of these options
            values = {name: value for name, value in values.items() if name not in _OF_THE_ENGINE}
        changed = {**values, **(changes or {})}
        if changes and "task_options" in changes and isinstance(values.get("task_options"), dict):
            changed["task_options"] = {**values["task_options"], **changes["task_options"]}
        return run_config(changed | {"digest": hashlib.sha256(raw).hexdigest()})
    except UsageError as error:
        error.where = ", ".join(part for part in (clipped(str(path)), error.where) if part)
        raise


def run_config(values: Mapping[str, Any]) -> RunConfig:
    """Return a run with these fields.

    Raises:
        UsageError: If a value makes no sense.
    """
    try:
        return RunConfig(**values)
    except ValidationError as error:
        field = str(error.errors()[0]["loc"][0])
        key = next((key for key, name in _KEYS.items() if name == field and key != "dataset"), field)
        raise UsageError(
            f"{key} is {clipped(repr(values[field]), 80)}",
            allowed=RunConfig.model_fields[field].description,
        ) from error


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise UsageError(
            f"the file of a run cannot be read: {reason}", allowed="a TOML file", next_step=_HELP
        ) from error


def _parsed(raw: bytes) -> dict[str, Any]:
    try:
        text = raw.decode("utf-8-sig")
        return tomllib.loads(text)
    except UnicodeDecodeError as error:
        raise UsageError(f"the file of a run is no text in UTF-8: {error.reason}", allowed="a TOML file") from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        reason = "it is HTML or XML" if text.lstrip().startswith("<") else clipped(str(error))
        raise UsageError(
            f"the file of a run is no TOML: {reason}", allowed='lines such as encoders = ["tfidf", "random"]'
        ) from error


def _fields(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return field -> value of the keys of a file."""
    ours = {name: name for name in RunConfig.model_fields if name not in (*_KEYS.values(), "digest")}
    fields = {"datasets": "datasets"} | ours | _KEYS
    found: dict[str, Any] = {}
    for key, value in values.items():
        field = fields.get(key.replace("-", "_"))
        if field is None:
            raise UnknownNameError("key", key, fields, next_step=_HELP)
        if field in found:
            raise UsageError(f"{field} is there twice", allowed="one key for one option")
        found[field] = value
    return found


def _labelled(label: str, value: object) -> str:
    """Return ``LABEL=ENCODER`` of an entry in the table of encoders."""
    from larpbench.encoders.names import split_label
    from larpbench.encoders.precomputed import with_column

    entry = {"encoder": value} if isinstance(value, str) else value
    if not isinstance(entry, dict) or not all(isinstance(each, str) and each for each in entry.values()):
        raise UsageError(
            f"the encoder {label!r} is {clipped(repr(value), 80)}",
            allowed='a name, or a table such as {encoder = "precomputed:FILE", column = "COLUMN"}',
            next_step=f"put {label} above the first [table]" if label in RunConfig.model_fields else None,
        )
    if unknown := [each for each in entry if each not in ("encoder", "column")]:
        raise UnknownNameError(f"key of the encoder {label!r}:", unknown[0], ("encoder", "column"), next_step=_HELP)
    if "encoder" not in entry:
        raise UsageError(f"the encoder {label!r} has no name", allowed='encoder = "NAME"')
    name = entry["encoder"]
    if "column" in entry:
        (name,) = with_column([name], entry["column"])
    if label == name:
        return name
    if split_label(f"{label}={name}") != (label, name) or split_label(name)[0]:
        raise UsageError(
            f"{label!r} = {clipped(repr(name), 80)} is no encoder with a label",
            allowed="a label without : / + @ , = and a name without a label of its own",
        )
    return f"{label}={name}"
