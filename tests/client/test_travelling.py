"""Values on their way between a typed command and its caller, over a real server."""

from __future__ import annotations

import dataclasses
import datetime
import inspect
from collections.abc import Iterator
from typing import Annotated, Any, Optional, TypedDict, Union

import pytest
from daemons import TIMEOUT, serving

from lab_utils_mt._client.arguments import to_json
from lab_utils_mt._commands.results import schema_of
from lab_utils_mt._commands.results import to_json as result_to_json
from lab_utils_mt.commands import Unit, command
from lab_utils_mt.exceptions import MessageError
from lab_utils_mt.socket_comm import Client, Server

AT = datetime.datetime(2026, 11, 22, 21, 0, 0, 5)


class Reading(TypedDict):
    """What a sensor says."""

    at: datetime.datetime
    kelvin: Annotated[float, Unit("K")]


@dataclasses.dataclass
class Run:
    """A measurement."""

    begin: datetime.datetime
    readings: list[Reading]
    end: Optional[datetime.datetime] = None  # noqa: UP045  (3.10 reads it at run time)
    before: Optional[Run] = None  # noqa: UP045


class Logbook(Server):
    """A server whose results have times and numbers in them."""

    @command
    def naive(self) -> datetime.datetime:
        """Return a time without a zone."""
        return AT

    @command
    def run(self) -> Run:
        """Return times within times."""
        return Run(AT, [{"at": AT, "kelvin": 4}], AT)

    @command
    def count(self, half: bool = False) -> Union[int, float]:  # noqa: UP007
        """Return a number of either kind."""
        return 3.5 if half else 3

    @command
    def count_letters(self, words: str) -> int:
        """Return how long a text is."""
        return len(words)

    @command
    def write(self, words: str, *, times: int = 1) -> str:
        """Return a text."""
        return words * times


@pytest.fixture
def client(pid_file: str) -> Iterator[Client]:
    """Return a client of a logbook."""
    server = Logbook(pid_file_name=pid_file, host="127.0.0.1", port=0)
    with serving(server), Client(host="127.0.0.1", port=server.port, timeout=TIMEOUT) as made:
        yield made


def test_times_are_times_wherever_they_stand(client: Client) -> None:
    """With and without a zone, also in fields."""
    assert client.call("naive") == AT
    reading = {"at": AT, "kelvin": 4.0}
    assert client.call("run") == {"begin": AT, "readings": [reading], "end": AT, "before": None}


def test_the_schemas_of_fields_keep_what_they_say(client: Client) -> None:
    """The format is added to it."""
    schema = schema_of(Run)["properties"]
    assert schema["begin"] == {"type": "string", "format": "date-time"}
    assert schema["end"]["default"] is None
    assert schema["end"]["anyOf"][0]["format"] == "date-time"
    assert schema["readings"]["items"]["properties"]["kelvin"]["x-unit"] == "K"


def test_a_whole_number_stays_one_where_both_kinds_may_come(client: Client) -> None:
    """The schema allows both."""
    assert [type(client.call("count", half)) for half in (False, True)] == [int, float]


def test_a_typed_parameter_may_be_called_words(client: Client) -> None:
    """It is no list of words, as commands of 0.5.x have one."""
    assert client.call("count_letters", "ab") == 2
    assert str(inspect.signature(client.commands.count_letters)).startswith("(words: str)")


def test_signatures_tell_what_is_given_by_name_only(client: Client) -> None:
    """As the server's own code does."""
    assert str(inspect.signature(client.commands.write)).startswith("(words: str, *, times: int")
    [method] = [m for m in client.discover()["methods"] if m["name"] == "write"]
    assert [param["x-keyword-only"] for param in method["params"]] == [False, True]


def test_a_command_has_a_name_of_text(client: Client) -> None:
    """Anything else is refused before it is sent."""
    for name in (5, None, ["naive"]):
        with pytest.raises(MessageError, match="the name of a command is a str"):
            client.call(name)  # type: ignore[arg-type]


def test_what_holds_itself_is_no_argument(client: Client) -> None:
    """Only the call that has it fails."""
    endless: list[Any] = []
    endless.append(endless)
    calls = [("count",), ("write", [endless]), ("write", ["x"])]
    first, second, third = client.call_many(calls, return_exceptions=True)
    assert (first, third) == (3, "x")
    assert isinstance(second, MessageError)
    assert "holds itself" in str(second)


def test_odd_values_of_numpy_travel_as_what_they_are() -> None:
    """Or are refused, but never sent as something else."""
    numpy = pytest.importorskip("numpy")
    assert to_json(numpy.longdouble(1.5), "x") == 1.5
    time = numpy.datetime64("2026-11-22T21:00:00.000005000", "ns")
    assert to_json(time, "x") == AT.isoformat()
    assert to_json(memoryview(b"abcd")[::2], "x") == "YWM="
    masked = numpy.ma.masked_array([1.0, 2.0], [False, True])
    for value in (numpy.clongdouble(1), masked, numpy.zeros(2, "i4,f4")):
        with pytest.raises(MessageError, match="cannot be sent"):
            to_json(value, "x")
    for array in (masked, numpy.zeros(2, "i4,f4")):
        with pytest.raises(TypeError, match="cannot be sent"):
            result_to_json(array)
