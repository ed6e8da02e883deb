"""Records to rows and back, and the opaque cursors of lists."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter
from sqlalchemy import Column, Row, Table, bindparam

from shared.errors import InvalidRequestError
from shared.store.records import Record

R = TypeVar("R", bound=Record)


def clean(value: Any) -> Any:
    """`value` with the characters PostgreSQL cannot store (NUL, lone surrogates) replaced by U+FFFD, in strings at any depth."""
    if isinstance(value, str):
        if "\x00" in value:
            value = value.replace("\x00", "\ufffd")
        return value if _encodable(value) else "".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in value)
    if isinstance(value, dict):
        return {clean(key): clean(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [clean(item) for item in value]
    return value


def _encodable(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def to_row(record: Record) -> dict[str, Any]:
    """Column values of a record: JSON-ready, except that times stay times."""
    return {
        name: getattr(record, name) if isinstance(getattr(record, name), datetime) else clean(value)
        for name, value in record.model_dump(mode="json").items()
    }


def field_values(model: type[Record], fields: Mapping[str, Any]) -> dict[str, Any]:
    """Column values of some fields of `model`, validated. A name that is no field is a programming error: `TypeError`."""
    values: dict[str, Any] = {}
    for name, value in fields.items():
        if name not in model.model_fields:
            raise TypeError(f"{model.__name__} has no field {name}")
        checked = _adapter(model, name).validate_python(value.model_dump() if isinstance(value, BaseModel) else value)
        values[name] = checked if isinstance(checked, datetime) else clean(_adapter(model, name).dump_python(checked, mode="json"))
    return values


@lru_cache(maxsize=512)
def _adapter(model: type[Record], name: str) -> TypeAdapter[Any]:
    return TypeAdapter(model.model_fields[name].rebuild_annotation())


@lru_cache(maxsize=64)
def columns(model: type[Record], table: Table) -> list[Column[Any]]:
    """The columns of `table` that `model` has a field for."""
    return [table.c[name] for name in model.model_fields]


def bound(values: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of `assignments` of the same names."""
    return {f"new_{name}": value for name, value in values.items()}


def assignments(names: Iterable[str]) -> dict[str, Any]:
    """For `update().values()`: columns to parameters, so that a statement is built once for all values."""
    return {name: bindparam(f"new_{name}") for name in names}


def to_record(model: type[R], row: Row[Any] | None) -> R | None:
    return None if row is None else model.model_validate(dict(row._mapping))


def to_records(model: type[R], rows: Iterable[Row[Any]]) -> list[R]:
    return [model.model_validate(dict(row._mapping)) for row in rows]


def page(records: list[R], limit: int, *keys: str) -> tuple[list[R], str | None]:
    """Cut a list read with `limit + 1` to `limit`; the cursor is made of the last one's `keys`."""
    if len(records) <= limit:
        return records, None
    kept = records[:limit]
    return kept, encode_cursor([getattr(kept[-1], key) for key in keys])


def encode_cursor(values: Iterable[Any]) -> str:
    plain = [value.isoformat() if isinstance(value, datetime) else value for value in values]
    return base64.urlsafe_b64encode(json.dumps(plain, separators=(",", ":")).encode()).decode().rstrip("=")


def decode_cursor(cursor: str, *types: type) -> list[Any]:
    """The values of a cursor, each of the type named; `InvalidRequestError` for anything that was not made here."""
    try:
        plain = json.loads(base64.b64decode((cursor + "=" * (-len(cursor) % 4)).encode(), altchars=b"-_", validate=True))
        if not isinstance(plain, list) or len(plain) != len(types):
            raise ValueError(cursor)
        values = [datetime.fromisoformat(value) if kind is datetime else kind(value) for value, kind in zip(plain, types, strict=True)]
    except (ValueError, TypeError, binascii.Error, UnicodeError) as error:
        raise InvalidRequestError("The cursor is not valid.", "Ask for the first page again, without a cursor.") from error
    if any(isinstance(value, datetime) and value.tzinfo is None for value in values):
        raise InvalidRequestError("The cursor is not valid.", "Ask for the first page again, without a cursor.")
    return [clean(value) for value in values]
