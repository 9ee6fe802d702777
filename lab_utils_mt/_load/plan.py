"""What load shall be put on which server?"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from ..exceptions import LabUtilsError

MOST_CLIENTS = 100_000
MOST_PROCESSES = 64
MOST_GREETING = 1000  # lines
LEAST_RATE, MOST_RATE = 0.001, 1_000_000.0
_MOST_SECONDS = 7 * 86_400.0
_MOST_PORT = 65_535

_NUMBERS: dict[str, tuple[float, float]] = {
    "port": (1, _MOST_PORT),
    "clients": (1, MOST_CLIENTS),
    "seconds": (0.01, _MOST_SECONDS),
    "ramp": (0, _MOST_SECONDS),
    "warm_up": (0, _MOST_SECONDS),
    "processes": (1, MOST_PROCESSES),
    "timeout": (0.001, _MOST_SECONDS),
    "greeting": (0, MOST_GREETING),
}
_WHOLE = {"port", "clients", "processes", "greeting"}
_BYTES = {"request", "skip_prefix", "ok"}
_FLAGS = {"reconnect", "terminated"}


@dataclasses.dataclass(frozen=True)
class Plan:
    """A load, as it is meant to be.

    Args:
        host: Where the server is.
        port: Its TCP port.
        request: What is sent each time: one line, with its newline.
        clients: How many connections there are at a time.
        seconds: How long is measured.
        rate: Requests/s of all clients together, whether or not the server keeps up: each client
            has a schedule of its own, and a latency counts from the scheduled time. None: each
            client sends again as soon as it has its reply.
        ramp: Seconds over which the clients come, evenly; those after the warm-up are measured,
            too.
        warm_up: Seconds before the measurement, from the first client on.
        processes: How many processes share the clients.
        reconnect: Whether each request gets a new connection; a latency counts from its start.
        terminated: Whether request and reply end with a newline. If not, the reply ends with the
            stream, as with ``lab_utils`` 0.5.x; each request needs a connection of its own.
        timeout: Seconds for a connection and for a reply.
        skip_prefix: What lines begin with that are no replies.
        greeting: How many lines the server sends before the first request.
        ok: What a good reply begins with; None: all but the usual signs of a failure.

    Raises:
        LabUtilsError: A value makes no sense; the text names it.
    """

    host: str
    port: int
    request: bytes
    clients: int = 1
    seconds: float = 10.0
    rate: float | None = None
    ramp: float = 0.0
    warm_up: float = 0.0
    processes: int = 1
    reconnect: bool = False
    terminated: bool = True
    timeout: float = 30.0
    skip_prefix: bytes = b""
    greeting: int = 0
    ok: bytes | None = None

    def __post_init__(self) -> None:
        for name, (least, most) in _NUMBERS.items():
            _check(name, getattr(self, name), least, most)
        if self.rate is not None:
            _check("rate", self.rate, LEAST_RATE, MOST_RATE)
        _check_request(self)
        if self.processes > self.clients:
            text = f"{self.processes} processes for {self.clients} clients: some have nothing to do"
            raise LabUtilsError(text)
        if self.ramp and self.ramp >= self.warm_up + self.seconds:
            text = f"a ramp of {self.ramp:g} s is not over before the end: measure for longer"
            raise LabUtilsError(text)
        if self.rate is not None and not self._is_anything_due(self.clients / self.rate):
            text = f"at a rate of {self.rate:g}/s nothing is due while it is measured"
            raise LabUtilsError(f"{text}: measure for longer")

    def _is_anything_due(self, interval: float) -> bool:
        begin, end = self.warm_up, self.warm_up + self.seconds
        firsts = (
            self.comes_after(one) + interval * one / self.clients for one in range(self.clients)
        )
        return any(
            max(0, math.ceil((end - first) / interval))
            > max(0, math.ceil((begin - first) / interval))
            for first in firsts
        )

    @property
    def where(self) -> str:
        """The address of the server, as it is written."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def as_json(self) -> dict[str, Any]:
        """Return what :meth:`from_json` reads: text, numbers, truth values, None."""
        values = dataclasses.asdict(self)
        for name in _BYTES:
            if values[name] is not None:
                values[name] = values[name].decode("utf-8", "surrogateescape")
        return values

    @classmethod
    def from_json(cls, values: Any) -> Plan:
        """Return the plan that :meth:`as_json` wrote.

        Raises:
            LabUtilsError: It is none.
        """
        names = {field.name for field in dataclasses.fields(cls)}
        if not isinstance(values, dict) or set(values) != names:
            raise LabUtilsError("this is no plan of a load")
        return cls(**{name: _from_json(name, value) for name, value in values.items()})

    def numbers(self, process: int | None) -> range:
        """Return the numbers of the clients in a process; of all, if None."""
        return range(process or 0, self.clients, 1 if process is None else self.processes)

    def comes_after(self, number: int) -> float:
        """Return when a client comes, in seconds from the start."""
        return self.ramp * number / self.clients

    @property
    def interval(self) -> float | None:
        """Seconds from one scheduled request of a client to its next."""
        return None if self.rate is None else self.clients / self.rate

    @property
    def scheduled(self) -> float | None:
        """How many requests are to be sent while it is measured; None without a rate."""
        if self.rate is None:
            return None
        end = self.warm_up + self.seconds
        shares = (end - max(self.warm_up, self.comes_after(one)) for one in range(self.clients))
        return sum(max(0.0, share) for share in shares) * self.rate / self.clients


def _check(name: str, value: Any, least: float, most: float) -> None:
    kinds = (int,) if name in _WHOLE else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not least <= value <= most:
        raise LabUtilsError(f"{name} is {value!r}, not a number from {least:g} to {most:.10g}")


def _check_request(plan: Plan) -> None:
    lines = plan.request.count(b"\n")
    if not plan.request.strip():
        raise LabUtilsError("the request is empty")
    if plan.terminated and not (lines == 1 and plan.request.endswith(b"\n")):
        raise LabUtilsError("the request is not one line with a newline at its end")
    if not plan.terminated and not plan.reconnect:
        raise LabUtilsError("a reply that ends with the stream needs reconnect=True")


def _from_json(name: str, value: Any) -> Any:
    good: tuple[type, ...] = (int, float)
    if name in _FLAGS:
        good = (bool,)
    elif name in _BYTES or name == "host":
        good = (str,)
    if not (isinstance(value, good) or (value is None and name in {"rate", "ok"})):
        raise LabUtilsError(f"this is no plan of a load: {name} is {value!r}")
    if name in _BYTES and isinstance(value, str):
        return value.encode("utf-8", "surrogateescape")
    return value
