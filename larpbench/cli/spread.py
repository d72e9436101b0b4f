"""Options that belong together are fields of a dataclass; here they become options of a verb again."""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import Any, get_type_hints


def spread(verb: Callable[..., None]) -> Callable[..., None]:
    """Return a verb that takes the fields of its dataclasses one by one, as Typer reads them.

    Args:
        verb: Its parameters are annotated; those that are dataclasses are built of the fields before it is called.
    """
    hints = get_type_hints(verb, include_extras=True)
    told: list[inspect.Parameter] = []
    built: dict[str, tuple[type[Any], list[str]]] = {}
    for name, parameter in inspect.signature(verb).parameters.items():
        kind = hints[name]
        if not (isinstance(kind, type) and dataclasses.is_dataclass(kind)):
            told.append(_named(name, kind, parameter.default))
            continue
        of_fields = get_type_hints(kind, include_extras=True)
        fields = dataclasses.fields(kind)
        built[name] = kind, [field.name for field in fields]
        told += [_named(field.name, of_fields[field.name], _default(field)) for field in fields]

    @functools.wraps(verb)
    def called(**given: Any) -> None:  # noqa: ANN401 - whatever the verb takes
        made = {name: kind(**{field: given.pop(field) for field in names}) for name, (kind, names) in built.items()}
        verb(**given, **made)

    called.__signature__ = inspect.Signature(told)  # type: ignore[attr-defined]
    called.__annotations__ = {parameter.name: parameter.annotation for parameter in told}
    return called


def _named(name: str, annotation: object, default: object) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def _default(field: dataclasses.Field[Any]) -> object:
    return inspect.Parameter.empty if field.default is dataclasses.MISSING else field.default
