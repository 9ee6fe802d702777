"""Is a server worse than it was?"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from .._load.plan import Plan
from ..exceptions import LabUtilsError
from .load_results import Result
from .load_summary import BAD, ENOUGH_SENT, GOOD, NOTE, PLAIN, Line, sent, shown
from .reaching import harmless

_MUST_AGREE = ("request", "clients", "rate", "ramp", "reconnect", "greeting", "terminated", "ok")
_MAY_DIFFER = ("host", "port", "seconds", "warm_up", "processes", "timeout")
_JUDGED = {
    "requests_per_s": -1,
    "p50_ms": 1,
    "p99_ms": 1,
    "failed_percent": 1,
}  # 1: more is worse; -1: less is
_TIMES = ("min_ms", "p50_ms", "p90_ms", "p99_ms", "p999_ms", "max_ms")
_SHOWN = ("requests_per_s", *_TIMES, "errors", "failed_percent")
_NAMES = {
    "requests_per_s": "requests/s",
    "p999_ms": "p99.9 (ms)",
    "failed_percent": "failed (%)",
}


@dataclasses.dataclass(frozen=True)
class Row:
    """One figure of both.

    Attributes:
        name: What it is.
        before: What it was.
        now: What it is.
        is_worse: Whether that is too much.
    """

    name: str
    before: float
    now: float
    is_worse: bool = False

    @property
    def ratio(self) -> float | None:
        """How many times the earlier figure it is; None if that was 0."""
        return self.now / self.before if self.before else None


def require_same(earlier: Plan, plan: Plan, path: str) -> None:
    """Make sure that two loads can be compared.

    Raises:
        LabUtilsError: They differ; the text says in what.
    """
    differences = [
        f"{name} {_value(earlier, name)}, now {_value(plan, name)}"
        for name in _MUST_AGREE
        if getattr(earlier, name) != getattr(plan, name)
    ]
    if differences:
        raise LabUtilsError(f"{path} is of another load: {'; '.join(differences)}")


def require_replies(earlier: Result, path: str) -> None:
    """Make sure that there is something to compare with.

    Raises:
        LabUtilsError: No good reply was measured, or no time.
    """
    if not earlier.outcome.tally.seconds:
        raise LabUtilsError(f"{path} was measured for 0 s, which has no rate: measure it again")
    if not earlier.outcome.tally.timed:
        raise LabUtilsError(f"{path} has no good reply to compare with: measure it again")


def _value(plan: Plan, name: str) -> str:
    value = getattr(plan, name)
    if name == "request":
        return repr(sent(plan))
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


class Comparison:
    """Two results of the same load.

    Args:
        earlier: How it was.
        result: How it is.
        worse_by: By how many percent a figure may be worse.

    Attributes:
        rows: The figures of both.
        worse: What is worse than it may be, in words.
        notes: In what the loads differed although they can be compared.
    """

    def __init__(self, earlier: Result, result: Result, worse_by: float) -> None:
        self.earlier, self._result = earlier, result
        self._least = 1 + worse_by / 100
        before, now = earlier.figures(), result.figures()
        self.rows = [
            Row(_name(key), before[key], now[key], self._is_worse(key, before[key], now[key]))
            for key in _SHOWN
        ]
        self.worse = [*self._worse_figures(), *self._new_errors(), *self._not_sent()]
        self.notes = [*self._notes()]

    def _is_worse(self, key: str, before: float, now: float) -> bool:
        sign = _JUDGED.get(key, 0)
        if sign > 0:
            return now > before * self._least
        return sign < 0 and now * self._least < before

    def _worse_figures(self) -> Iterator[str]:
        for row in self.rows:
            if row.is_worse:
                times = f"{row.ratio:.2f} times" if row.ratio is not None else "more than"
                yield f"{row.name}: {times} what it was"

    def _new_errors(self) -> Iterator[str]:
        before = self.earlier.outcome.tally.errors
        for kind, times in self._result.outcome.tally.errors.items():
            if kind not in before:
                yield f"errors that were not there: {times:,} x {kind}"

    def _not_sent(self) -> Iterator[str]:
        before, now = _unsent(self.earlier), _unsent(self._result)
        if now > max(1 - ENOUGH_SENT, before * self._least):
            yield (
                f"requests that could not be sent in time: {now:.1%} of the schedule,"
                f" earlier {before:.1%}"
            )

    def _notes(self) -> Iterator[str]:
        before, now = self.earlier.outcome, self._result.outcome
        for name in _MAY_DIFFER:
            if getattr(before.plan, name) != getattr(now.plan, name):
                yield f"{name} was {_value(before.plan, name)}, now {_value(now.plan, name)}"
        for name, value in self._result.machine.items():
            if self.earlier.machine.get(name) != value:
                yield f"{name} was {self.earlier.machine.get(name)}, now {value}"
        if before.was_interrupted or now.was_interrupted:
            yield "one of them was interrupted"

    def lines(self) -> Iterator[Line]:
        """Yield the table, and what is worse."""
        yield f"{'':<12}{'earlier':>14}{'now':>14}{'ratio':>10}", "bold"
        for row in self.rows:
            ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
            text = f"{row.name:<12}{shown(row.before):>14}{shown(row.now):>14}{ratio:>10}"
            yield (f"{text}  worse", BAD) if row.is_worse else (text, PLAIN)
        yield from ((f"note: {harmless(note)}", NOTE) for note in self.notes)
        yield from ((f"worse: {harmless(text)}", BAD) for text in self.worse)
        if not self.worse:
            yield "not worse than the earlier one", GOOD


def _unsent(result: Result) -> float:
    """Return which part of the requests that were due was not sent, also if it was interrupted."""
    tally = result.outcome.tally
    return tally.unsent / max(1, tally.unsent + tally.requests + tally.failed)


def _name(key: str) -> str:
    return _NAMES.get(key) or key.replace("_ms", " (ms)")
