"""How do Python values travel as the params of a command?"""

from __future__ import annotations

import base64
import dataclasses
import datetime
import decimal
import enum
import math
import sys
import uuid
from collections.abc import Callable, Mapping, Set
from typing import Any

from ..exceptions import MessageError

_PLAIN = (str, bool, type(None))
_LEAST, _MOST = -(2**63), 2**64 - 1


def to_json(value: object, where: str) -> Any:
    """Return what stands for a value in JSON.

    Args:
        value: Numbers, text, bytes, dates, enumerations, numpy arrays, dataclasses, and sequences
            and mappings of them.
        where: Names the value in an error.

    Raises:
        MessageError: Nothing does: NaN, for example; the text says where it is.
    """
    if type(value) in _PLAIN:
        return value
    for kinds, convert in _CONVERTERS:
        if isinstance(value, kinds):
            return convert(value, where)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return _mapping({field.name: getattr(value, field.name) for field in fields}, where)
    return _of_numpy(value, where)


def _number(value: float, where: str) -> float:
    if not math.isfinite(value):
        raise MessageError(f"{where} is {value}: JSON has no such number")
    return float(value)


def _whole(value: int, where: str) -> int:
    if not _LEAST <= value <= _MOST:
        raise MessageError(f"{where} does not fit into 64 bits")
    return int(value)


def _items(values: Any, where: str) -> list[Any]:
    return [to_json(item, f"{where}[{place}]") for place, item in enumerate(values)]


def _mapping(values: Mapping[Any, Any], where: str) -> dict[str, Any]:
    return {_key(key, where): to_json(item, f"{where}[{key!r}]") for key, item in values.items()}


def _key(key: object, where: str) -> str:
    name = key.value if isinstance(key, enum.Enum) else key
    if not isinstance(name, str):
        raise MessageError(f"{where} has a key that is no text: {key!r}")
    return name


def _of_numpy(value: Any, where: str) -> Any:
    numpy = sys.modules.get("numpy")  # a value of numpy's needs no import
    if numpy is not None and isinstance(value, numpy.generic):
        return to_json(_plain(value), where)
    is_array = numpy is not None and isinstance(value, numpy.ndarray)
    if not is_array or value.dtype.kind not in "biufcmMSU" or hasattr(value, "mask"):
        raise MessageError(f"{where}: a value of {_kind(value)} cannot be sent")
    return {
        "dtype": value.dtype.str,
        "shape": list(value.shape),
        "data": base64.b64encode(value.tobytes()).decode(),
    }


def _plain(value: Any) -> object:
    """Return the value of Python that one of numpy's is."""
    kind = value.dtype.kind
    if kind == "M":  # a time with nanoseconds would become an integer
        return value.astype("datetime64[us]").item()
    if kind in "fc":  # the item() of a longdouble is of numpy's too, whatever its size
        return float(value) if kind == "f" else complex(value)
    return value.item()


def _kind(value: object) -> str:
    dtype = getattr(value, "dtype", None)
    return type(value).__name__ + (f" of {dtype}" if dtype is not None else "")


# In this order: an enumeration may be a text or an integer too.
_CONVERTERS: list[tuple[Any, Callable[[Any, str], Any]]] = [
    (enum.Enum, lambda value, where: to_json(value.value, where)),
    (float, _number),
    (int, _whole),
    (str, lambda value, _: str(value)),
    ((list, tuple, Set), _items),
    (Mapping, _mapping),
    ((bytes, bytearray, memoryview), lambda value, _: base64.b64encode(bytes(value)).decode()),
    ((datetime.date, datetime.time), lambda value, _: value.isoformat()),
    ((decimal.Decimal, uuid.UUID), lambda value, _: str(value)),
]
