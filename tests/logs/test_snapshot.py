"""Does a record say later what it said when it was logged?"""

import logging
import sys
import weakref

from lab_utils_mt._logs.snapshot import finish, settled, snapshot


def record(message, *args, **extra):
    """A record as a logger makes it."""
    made = logging.LogRecord("n", 20, "p.py", 1, message, args, extra.pop("exc_info", None))
    vars(made).update(extra)
    return made


class Frame:
    """Something that a frame holds."""


def fail(witnesses):
    """Raise, with something in the frame."""
    held = Frame()
    witnesses.append(weakref.ref(held))
    raise ValueError("the motor is stuck")


def test_arguments_may_change_afterwards():
    """A list is logged, then filled."""
    values = [1]
    own = snapshot(record("values %s", values))
    values.append(2)
    assert own.getMessage() == "values [1]"


def test_the_record_itself_stays_as_it_is():
    """The other handlers get it, too."""
    made = record("x %d", 1, note={"a": {1}})
    before = dict(vars(made))
    snapshot(made)
    assert vars(made) == before


def test_fields_of_the_users_own_are_settled_as_json():
    """Numbers stay numbers; what is no JSON is text."""
    note = {"t": 4.2, 3: (1, None, True), "nan": float("nan"), "inf": -float("inf"), "b": b"x"}
    own = snapshot(record("x", note=note, where="A", _private=note))
    note["t"] = 5
    assert own.note == {
        "t": 4.2, "3": [1, None, True], "nan": "nan", "inf": "-inf", "b": "b'x'"
    }  # fmt: skip
    assert own.where == "A"
    assert vars(snapshot(record("x", **{"a b": {1: 2}})))["a b"] == {"1": 2}
    assert own._private is note


def test_a_field_whose_name_is_no_text_does_not_matter():
    """extra={1: 2} is possible."""
    made = record("x")
    vars(made)[1] = [2]
    assert vars(snapshot(made))[1] == [2]


def test_fields_without_an_end_or_a_text_come_to_one():
    """Nothing raises."""

    class Hostile:
        def __str__(self):
            raise RuntimeError

    endless: list = []
    endless.append(endless)
    assert str(settled(endless)).count("[") < 20
    assert (
        settled(Hostile()) == "<Hostile>, whose str() raises RuntimeError".replace(">,", ",") + ">"
    )


def test_a_traceback_is_the_standard_one_and_holds_no_frames():
    """What the frames hold - sockets, sessions - can be freed."""
    witnesses: list = []
    try:
        fail(witnesses)
    except ValueError:
        exc_info = sys.exc_info()
    expected = logging.Formatter().formatException(exc_info)
    own = snapshot(record("x", exc_info=exc_info))
    del exc_info
    assert witnesses[0]() is None
    assert own.exc_info is None
    assert finish(own).exc_text == expected
    assert finish(own).exc_text == expected


def test_an_exception_whose_text_fails_is_told_all_the_same():
    """Its class at least."""

    class Hostile(Exception):
        def __str__(self):
            raise RuntimeError

    try:
        raise Hostile  # noqa: TRY301
    except Hostile:
        own = snapshot(record("x", exc_info=sys.exc_info()))
    assert "Hostile" in finish(own).exc_text


def test_no_exception_at_hand_is_no_exception():
    """logger.error("x", exc_info=True) outside of any."""
    own = snapshot(record("x", exc_info=(None, None, None)))
    assert not finish(own).exc_text


def test_fields_are_copied_within_bounds():
    """Shared lists in lists have no end; a million items take too long."""
    nested = list(range(12))
    for _ in range(20):
        nested = [nested] * 12
    own = snapshot(record("x", nested=nested, many=list(range(10**6))))
    assert len(str(own.nested)) + len(str(own.many)) < 100_000
    assert len(snapshot(record("y" * 10**7)).msg) < 10**6


def test_a_proxy_without_an_object_is_told_as_far_as_it_can():
    """As web frameworks have them, and worse."""

    class Proxy:
        @property
        def __class__(self):
            raise RuntimeError("no object")

        def __str__(self):
            raise RuntimeError("no object")

    assert "Proxy" in snapshot(record("x", user=Proxy())).user
