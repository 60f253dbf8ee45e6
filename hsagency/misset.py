"""What is wrong with settings, in the words of the file they stand in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from hsagency.words import listed

Path: TypeAlias = Sequence[int | str]


def in_words(error: ValidationError, model: type[BaseModel]) -> str:
    """Return what does not fit `model`: which setting of which table, and what would."""
    return "; ".join(_said(one["type"], one["loc"], one["msg"], model) for one in error.errors())


def _said(kind: str, at: Path, message: str, model: type[BaseModel]) -> str:
    *table, name = at or ("",)
    if kind == "extra_forbidden":
        known = [*_fields(_model_at(model, table))]
        there = "there are" if len(known) > 1 else "there is only"
        return f"there is no setting {name!r} {_place(table)}; {there} {listed(known)}"
    if kind == "missing":
        return f"{name!r} is missing {_place(table)}"
    message = _PLAIN.get(kind, message).removeprefix("Value error, ")
    if message.startswith("Input "):
        message = f"it {message.removeprefix('Input ')}"
    if name == "[key]":  # as pydantic calls what a dictionary's key does not fit
        *table, name = table
    if isinstance(name, int):
        return f"{_place(at)}: {message}"
    return f"{name!r} {_place(table)}: {message}"


_PLAIN: Final[Mapping[str, str]] = {
    "model_type": "it should be a table",
    "dict_type": "it should be a table",
    "string_pattern_mismatch": "it has letters that have no place there",
}


def _place(table: Path) -> str:
    """
    Return the heading that a setting stands under.

    >>> _place(["quota", "clients", "acme"]), _place(["forward", 0]), _place([])
    ('in [quota.clients.acme]', 'in table 1 of [[forward]]', 'at the top level')
    """
    if not table:
        return "at the top level"
    if isinstance(table[-1], int):
        return f"in table {table[-1] + 1} of [[{'.'.join(map(str, table[:-1]))}]]"
    return f"in [{'.'.join(map(str, table))}]"


def _fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    return {one.alias or name: one for name, one in model.model_fields.items()}


def _model_at(model: type[BaseModel], table: Path) -> type[BaseModel]:
    """Return what describes a table; what is no field's name is one of its tables' own."""
    for part in table:
        field = _fields(model).get(str(part))
        model = (field and _model_in(field.annotation)) or model
    return model


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """Return the model that a field holds, or holds some of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_model_in(one) for one in get_args(annotation))
    return next((one for one in found if one), None)
