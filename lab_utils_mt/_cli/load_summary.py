"""What did a load show, told in a few lines?"""

from __future__ import annotations

import math
from collections.abc import Iterator

from .._load.fleet import Outcome, usable_processors
from .._load.plan import Plan
from .._load.tally import Tally
from .load_results import PERCENTS, Result
from .reaching import harmless

Line = tuple[str, str]
"""A line and its style, as rich names it."""

GOOD, BAD, NOTE, PLAIN = "green", "bold red", "yellow", ""
ENOUGH_SENT = 0.999
"""A load of which less was sent did not keep its schedule."""

_LARGE = 1000
_FEW = 100  # requests/s
_WIDTH = 40  # characters of the longest bar
_MOST_BARS = 14
_MOST_EXAMPLE = 100  # characters
_STEPS = (1.0, 2.0, 5.0)

HINTS = {
    "server full": "the server takes no more clients: raise its max_clients, or use fewer",
    "closed": "a server that answers one request per connection needs --reconnect",
    "cut off": "a server that ends a reply by closing needs --reconnect",
    "surplus": "a server that greets each new connection needs --greeting; one that sends several"
    " lines per reply, and closes, needs --reconnect; what is measured then is the time to the"
    " first line",
    "too many open files": "use more --processes, or raise the limit of open files (ulimit -n)",
    "no free local port": "each closed connection keeps its port for a while: use fewer --clients",
    "reset": "a server whose backlog is full resets connections: try --ramp",
}
"""What may help against a kind of error."""


def ms(seconds: float) -> str:
    """Return a time in ms with three digits."""
    value = seconds * 1e3
    if value <= 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(value)))
    return f"{value:,.{digits}f}"


def shown(value: float) -> str:
    """Return a figure with about three digits."""
    if value.is_integer() or value >= _LARGE:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def per_second(tally: Tally) -> str:
    """Return the rate of good replies."""
    rate = tally.requests_per_second
    return f"{rate:.1f}" if rate < _FEW else f"{rate:,.0f}"


def described(plan: Plan) -> str:
    """Return the load in words."""
    clients = "1 client" if plan.clients == 1 else f"{plan.clients:,} clients"
    parts = [clients, f"{plan.seconds:g} s"]
    parts.append("as fast as replies come" if plan.rate is None else f"{plan.rate:,g} requests/s")
    parts += [f"ramp {plan.ramp:g} s"] if plan.ramp else []
    parts += [f"warm-up {plan.warm_up:g} s"] if plan.warm_up else []
    parts += [f"{plan.processes} processes"] if plan.processes > 1 else []
    parts += [f"lines of greeting: {plan.greeting}"] if plan.greeting else []
    parts += ["a connection per request"] if plan.reconnect else []
    return ", ".join(parts)


def sent(plan: Plan) -> str:
    """Return what is sent, so that it drives no terminal."""
    return harmless(plan.request.decode("utf-8", "replace").rstrip("\n"))


def summary(result: Result) -> Iterator[Line]:
    """Yield the lines that tell what came of a load."""
    outcome = result.outcome
    tally = outcome.tally
    yield "", PLAIN
    if outcome.was_interrupted:
        yield f"interrupted after {tally.seconds:.1f} of {outcome.plan.seconds:g} s", NOTE
    good = GOOD if tally.requests and not tally.errors else PLAIN
    yield f"{tally.requests:,} good replies, {per_second(tally)} requests/s", good
    yield from _errors(tally)
    if tally.timed:
        yield from _latencies(tally)
    for text in warnings(outcome):
        yield f"note: {text}", NOTE


def _errors(tally: Tally) -> Iterator[Line]:
    if not tally.errors:
        yield "no errors", GOOD
        return
    yield f"{tally.failed:,} error{'s' * (tally.failed != 1)}:", BAD
    for kind, times in tally.errors.most_common():
        yield f"  {times:>8,} x {kind}: {_example(tally, kind)}", BAD
        if kind in HINTS:
            yield f"             {HINTS[kind]}", NOTE


def _example(tally: Tally, kind: str) -> str:
    lines = tally.first_errors.get(kind, "").splitlines() or [""]
    return harmless(lines[0])[:_MOST_EXAMPLE]


def _latencies(tally: Tally) -> Iterator[Line]:
    names = ["min", *(f"p{percent:g}" for percent in PERCENTS), "max"]
    found = tally.percentiles(PERCENTS)
    values = [tally.least, *(found[percent] for percent in PERCENTS), tally.most]
    yield "", PLAIN
    yield "latency    " + "".join(f"{name:>10}" for name in names), "bold"
    yield "       ms  " + "".join(f"{ms(value):>10}" for value in values), PLAIN
    yield "", PLAIN
    yield from _histogram(tally)


def _histogram(tally: Tally) -> Iterator[Line]:
    rows = _rows(tally)
    most = max(times for _, times in rows)
    yield "up to ms      replies", "bold"
    for limit, times in rows:
        bar = "#" * math.ceil(_WIDTH * times / most) if times else ""
        share = 100 * times / tally.timed
        yield f"{ms(limit):>8} {times:>12,} {share:5.1f} %  {bar}".rstrip(), PLAIN


def _rows(tally: Tally) -> list[tuple[float, int]]:
    """Return how many latencies lie below each of some round limits, and above the one before."""
    rows: list[tuple[float, int]] = []
    limits = _limits(tally)
    limit, times = next(limits), 0
    for latency, count in tally.distribution():
        while latency > limit:
            rows.append((limit, times))
            limit, times = next(limits), 0
        times += count
    return [*rows, (limit, times)]


def _limits(tally: Tally) -> Iterator[float]:
    decades = math.log10(max(tally.most, 1e-6) / max(tally.least, 1e-6))
    steps = _STEPS if decades * len(_STEPS) < _MOST_BARS - 1 else _STEPS[:1]
    decade = math.floor(math.log10(max(tally.least, 1e-6)))
    while True:
        for step in steps:
            if step * 10.0**decade >= tally.least:
                yield step * 10.0**decade
        decade += 1


def warnings(outcome: Outcome) -> Iterator[str]:
    """Yield what should be known before the figures are believed."""
    plan, tally = outcome.plan, outcome.tally
    if outcome.is_limited:
        yield (
            f"the load itself was busy for {outcome.busiest:.0%} of the time: it may have been the"
            f" limit, not the server{_more_processes(plan)}"
        )
    yield from _not_sent(outcome)
    if plan.ramp > plan.warm_up:
        yield (
            f"the clients came over {plan.ramp:g} s, and it was measured after {plan.warm_up:g} s:"
            " the figures have seconds with fewer clients in them; make --warm-up as long as --ramp"
        )
    if tally.late and tally.late * 10 > tally.requests and tally.requests > plan.clients:
        yield f"{tally.late:,} replies came after the end: measure for longer"


def _more_processes(plan: Plan) -> str:
    more = min(2 * plan.processes, plan.clients, usable_processors())
    return f"; try --processes {more}" if more > plan.processes else ""


def _not_sent(outcome: Outcome) -> Iterator[str]:
    unsent, reached = outcome.tally.unsent, outcome.reached
    if not unsent or (reached is not None and reached > ENOUGH_SENT):
        return
    whole = "" if reached is None else f" of {outcome.plan.scheduled:,.0f}"
    yield (
        f"the rate was not reached: {unsent:,}{whole} requests were"
        " not sent in time, because their clients still waited, or had no connection; the"
        " figures lack them, and look better than what was asked for"
    )
