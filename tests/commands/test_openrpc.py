"""The document that tells programs what a server can do."""

from __future__ import annotations

import dataclasses
import enum
import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict

import pytest
from daemons import Line, serving
from jsonschema import Draft7Validator  # type: ignore[import-untyped]

from lab_utils_mt.commands import Meta, Request, Unit, command, poll
from lab_utils_mt.socket_comm import Server

META_SCHEMA = json.loads(Path(__file__).with_name("openrpc-1.3.2.json").read_text("utf-8"))
DISCOVER = b'{"jsonrpc": "2.0", "method": "rpc.discover", "id": 1}\n'


class Mode(enum.Enum):
    """How."""

    FAST = "fast"
    SLOW = "slow"


class Reading(TypedDict):
    """What a poller returns."""

    kelvin: Annotated[float, Unit("K")]
    valve: bool


@dataclasses.dataclass
class State:
    """What a command returns."""

    mode: Mode
    since: datetime
    inner: State | None = None


class Cryostat(Server):
    """A cryostat with two stages."""

    @command(device=("heater", "valve"), timeout=5, idempotent=True)
    def heat(
        self,
        kelvin: Annotated[float, Meta(ge=0, le=300), Unit("K")],
        request: Request,
        mode: Mode = Mode.FAST,
        *,
        ramp: Annotated[float, Unit("K/min")] = 0.0,
        until: datetime | None = None,
    ) -> Annotated[float, Unit("K")]:
        """Set the target temperature.

        Waits for nothing.

        Args:
            kelvin: Target.

        Returns:
            The target before.
        """
        return kelvin

    @command
    def every_type(
        self,
        a: int,
        b: bool,
        c: str,
        d: bytes,
        e: Literal["x", 5],
        f: float = float("nan"),
        *,
        g: Annotated[list[Mode], Meta(max_length=3)] = [Mode.SLOW],  # noqa: B006
        h: Annotated[str, Meta(pattern="^a")] = "a",
    ) -> State | None:
        return None

    @poll(every=1000.0, device="sensor", name="temperatures")
    def read(self) -> Reading:
        """Read both stages."""
        return {"kelvin": 4.2, "valve": True}

    def create_parser(self) -> None:
        super().create_parser()
        self.sp.add_parser("old", description="is old").set_defaults(func=self.old, device="stage")

    def old(self) -> None:
        self.reply = "old"


@pytest.fixture
def line(pid_file: str) -> Iterator[Line]:
    """Return a connection to a cryostat."""
    with serving(Cryostat(pid_file_name=pid_file, port=0)) as server, Line(server) as line:
        yield line


@pytest.fixture
def document(line: Line) -> dict[str, Any]:
    """Return the document of a server."""
    line.send(DISCOVER)
    document: dict[str, Any] = json.loads(line.line())["result"]
    return document


def method(document: dict[str, Any], name: str) -> dict[str, Any]:
    """Return what is said of a method."""
    (found,) = [one for one in document["methods"] if one["name"] == name]
    return found  # type: ignore[no-any-return]


def test_the_document_is_one(document: dict[str, Any]) -> None:
    """By the meta-schema of OpenRPC, and of JSON Schema for what it holds."""
    Draft7Validator.check_schema(META_SCHEMA)
    Draft7Validator(META_SCHEMA).validate(document)

    assert document["openrpc"] == "1.3.2"
    assert document["info"]["title"] == "Cryostat"
    assert document["info"]["description"] == "A cryostat with two stages."


@pytest.mark.parametrize(
    "broken",
    [
        {"methods": [{"name": "x"}]},
        {"openrpc": "0.1"},
        {"methods": [{"name": "x", "params": [{"name": "a", "schema": {"type": "complex"}}]}]},
        {"surplus": 1},
    ],
)
def test_the_meta_schema_refuses_what_is_no_document(
    document: dict[str, Any], broken: dict[str, Any]
) -> None:
    """Or the test above would say nothing."""
    assert not Draft7Validator(META_SCHEMA).is_valid({**document, **broken})


def test_a_command_is_described_whole(document: dict[str, Any]) -> None:
    """Types, units, ranges, choices, defaults, devices, timeout."""
    heat = method(document, "heat")
    params = {one["name"]: one for one in heat["params"]}

    assert list(params) == ["kelvin", "mode", "ramp", "until"]
    assert params["kelvin"]["required"] is True
    assert params["kelvin"]["description"] == "Target."
    assert params["kelvin"]["schema"] == {
        "type": "number",
        "minimum": 0,
        "maximum": 300,
        "x-unit": "K",
    }
    assert params["mode"]["required"] is False
    assert params["mode"]["schema"]["enum"] == ["fast", "slow"]
    assert params["mode"]["schema"]["default"] == "fast"
    assert params["ramp"]["schema"] == {"type": "number", "x-unit": "K/min", "default": 0.0}
    assert params["until"]["schema"]["default"] is None
    assert params["until"]["schema"]["anyOf"] == [
        {"type": "string", "format": "date-time"},
        {"type": "null"},
    ]


def test_a_command_tells_what_it_needs_and_returns(document: dict[str, Any]) -> None:
    """And what it is for."""
    heat = method(document, "heat")

    assert (heat["summary"], heat["description"]) == (
        "Set the target temperature.",
        "Waits for nothing.",
    )
    assert heat["result"]["schema"] == {"type": "number", "x-unit": "K"}
    assert heat["result"]["description"] == "The target before."
    assert (heat["x-device"], heat["x-timeout"], heat["x-idempotent"]) == (
        ["heater", "valve"],
        5,
        True,
    )
    assert method(document, "every_type")["x-timeout"] == Server.device_timeout


def test_each_type_has_its_schema(document: dict[str, Any]) -> None:
    """Nothing is referred to: a client needs no resolver."""
    every = method(document, "every_type")
    schemas = {one["name"]: one["schema"] for one in every["params"]}

    assert schemas["a"] == {"type": "integer"}
    assert schemas["b"] == {"type": "boolean"}
    assert schemas["c"] == {"type": "string"}
    assert schemas["d"] == {"type": "string", "contentEncoding": "base64"}
    assert set(schemas["e"]["enum"]) == {"x", 5}
    assert schemas["f"] == {"type": "number", "default": None}
    assert schemas["g"]["maxItems"] == 3
    assert schemas["g"]["default"] == ["slow"]
    assert schemas["h"]["pattern"] == "^a"
    assert "$ref" not in json.dumps(document)
    state = next(one for one in every["result"]["schema"]["anyOf"] if one.get("type") == "object")
    assert state["properties"]["mode"]["enum"] == ["fast", "slow"]
    assert state["properties"]["since"]["type"] == "string"


def test_other_commands_take_words(document: dict[str, Any]) -> None:
    """Those of 0.5.x and those that every server has."""
    for name in ("old", "help", "ping", "status", "quit"):
        assert [one["name"] for one in method(document, name)["params"]] == ["words"]
    assert method(document, "old")["summary"] == "is old"
    assert method(document, "old")["x-old-style"] is True


def test_no_method_is_there_twice(document: dict[str, Any]) -> None:
    """A name means one thing."""
    names = [one["name"] for one in document["methods"]]

    assert len(names) == len(set(names))
    assert set(names) >= {"heat", "every_type", "old", "help", "ping", "status", "quit", "watch"}


def test_a_poller_is_described(document: dict[str, Any]) -> None:
    """With the schema of its readings."""
    (poller,) = document["x-pollers"]

    assert (poller["name"], poller["every"], poller["device"]) == ("temperatures", 1000, ["sensor"])
    assert poller["description"] == "Read both stages."
    assert poller["schema"]["properties"]["kelvin"] == {"type": "number", "x-unit": "K"}


def test_the_document_is_made_once(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """And given to all that ask."""
    line.send(DISCOVER)
    first = line.line()
    monkeypatch.setattr("lab_utils_mt._commands.openrpc.document", None)
    monkeypatch.setattr("lab_utils_mt._commands.results.schema_of", None)
    line.send(DISCOVER)

    assert line.line() == first
