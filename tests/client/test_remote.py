"""What a client makes of a server's description: help, signatures, types, arrays."""

from __future__ import annotations

import datetime
import inspect
import math
import pydoc
from typing import Any, Literal

import pytest
from client.json_peers import Cryostat

from lab_utils_mt._client.arguments import to_json
from lab_utils_mt._client.faults import exception_of
from lab_utils_mt._client.schemas import Schemas
from lab_utils_mt.exceptions import CommandFailed, MessageError
from lab_utils_mt.socket_comm import Client

NONE = {"type": "null"}
ARRAY = {"type": "object", "x-ndarray": True}


def test_a_command_helps_like_a_function(client: Client) -> None:
    """As IPython's ``?`` and ``help()`` show it."""
    function = client.commands.set_temperature
    assert str(inspect.signature(function)).startswith("(kelvin: float, ")
    assert inspect.get_annotations(function) == {"kelvin": float, "ramp": float, "return": float}
    page = pydoc.render_doc(function, renderer=pydoc.plaintext)
    for text in (
        "Set the target temperature.",
        "The heater follows.",
        "kelvin: Target (0 to 300 K)",
    ):
        assert text in page
    assert "Uses heater, for which it waits up to 30 s." in page
    assert function(4, ramp=1) == 5.0
    assert (
        inspect.signature(client.commands.choose).parameters["how"].annotation == Literal["a", "b"]
    )


def test_commands_are_listed(client: Client) -> None:
    """A name that is no identifier is had by brackets; IPython's own questions ask no server."""
    assert {"set_temperature", "ping", "move-to"} <= set(dir(client.commands))
    assert client.commands["move-to"]("3") == "at 3"
    with pytest.raises(AttributeError, match=r"no command 'set_temprature'; near to it: set_temp"):
        client.commands.set_temprature  # noqa: B018
    with pytest.raises(KeyError):
        client.commands["nothing"]
    with pytest.raises(AttributeError):
        Client(port=1).commands._repr_html_  # noqa: B018


def test_the_description_is_asked_for_once(client: Client, cryostat: Cryostat) -> None:
    """And again after close()."""
    before = client.discover()
    assert client.discover() is client.using(timeout=3).discover() is before
    assert before["info"]["title"] == "Cryostat"
    client.close()
    assert client.discover() is not before


@pytest.mark.parametrize(
    ("schema", "value", "expected", "annotation"),
    [
        ({"type": "number"}, 3, 3.0, float),
        ({"type": "integer"}, 3, 3, int),
        ({"anyOf": [{"type": "number"}, NONE]}, None, None, float | None),
        ({"type": "string", "contentEncoding": "base64"}, "AP8=", b"\0\xff", bytes),
        (
            {"type": "string", "format": "date"},
            "2026-11-22",
            datetime.date(2026, 11, 22),
            datetime.date,
        ),
        ({"type": "string", "format": "date"}, "newer", "newer", datetime.date),
        ({"enum": ["a", "b"]}, "a", "a", Literal["a", "b"]),
        ({"type": "array", "items": {"type": "number"}}, [1, 2], [1.0, 2.0], list[float]),
        ({"type": "array", "prefixItems": [{"type": "number"}, {}]}, [1, 2], (1.0, 2), list),
        (
            {"type": "object", "additionalProperties": {"type": "number"}},
            {"a": 1},
            {"a": 1.0},
            dict[str, float],
        ),
        ({"type": "object", "properties": {"a": {"type": "number"}}}, {"b": 1}, {"b": 1}, dict),
        (
            {"$ref": "#/components/schemas/Tree"},
            {"sub": [{"sub": []}]},
            {"sub": [{"sub": []}]},
            dict,
        ),
        ({}, [None], [None], Any),
    ],
)
def test_schemas_give_types_and_values(
    schema: dict[str, Any], value: Any, expected: Any, annotation: Any
) -> None:
    """Also those that refer to themselves; what does not fit stays as it is."""
    items = {"type": "array", "items": {"$ref": "#/components/schemas/Tree"}}
    schemas = Schemas({"Tree": {"type": "object", "properties": {"sub": items}}})
    assert schemas.converter(schema)(value) == expected
    assert type(schemas.converter(schema)(value)) is type(expected)
    assert schemas.annotation(schema) == annotation
    assert math.isnan(schemas.converter({"type": "number"})(None))


def test_arrays_travel_and_return() -> None:
    """With their shape and type; what holds objects does not."""
    numpy = pytest.importorskip("numpy")
    convert = Schemas({}).converter(ARRAY)
    for array in (
        numpy.arange(6.0).reshape(2, 3).T,
        numpy.array(3, ">i2"),
        numpy.zeros((0, 4), bool),
    ):
        back = convert(to_json(array, "x"))
        assert (back.dtype, back.shape) == (array.dtype, array.shape)
        assert (back == array).all()
        assert back.flags.writeable
    assert to_json([numpy.float32(0.5), numpy.int8(3), numpy.bool_(True)], "x") == [0.5, 3, True]
    with pytest.raises(MessageError, match="x: a value of ndarray of object cannot be sent"):
        to_json(numpy.array([object()]), "x")
    with pytest.raises(MessageError, match="array that cannot be read"):
        convert({"dtype": "O", "shape": [1], "data": ""})


@pytest.mark.parametrize("name", ["Nothing", "ExceptionGroup", "SystemExit", "object", "Client"])
def test_an_unknown_class_is_a_failed_command(name: str) -> None:
    """Its name is in the text."""
    error = exception_of({"code": -32000, "message": "no", "data": {"type": name}})
    assert type(error) is CommandFailed
    assert str(error) == f"{name}: no"


@pytest.mark.parametrize("name", ["UnicodeDecodeError", "TimeoutError", "KeyError", "SyntaxError"])
def test_builtin_classes_have_twins(name: str) -> None:
    """One for each, whatever their constructors take."""
    made = [exception_of({"message": "no", "data": {"type": name}}) for _ in range(2)]
    assert type(made[0]) is type(made[1])
    assert issubclass(type(made[0]), (CommandFailed, getattr(__import__("builtins"), name)))
    assert str(made[0]) == "no"
