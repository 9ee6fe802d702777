"""How fast does a server answer?

Line protocols are driven by the load engine of ``lab-utils-mt load``, on the wire. A peer with a
protocol of its own is driven by its own client library, with a thread for each client in several
processes: that is what its users get.
"""

from __future__ import annotations

from benchmarks.house.callers import call_in_processes
from benchmarks.house.percentile import told
from benchmarks.house.question import Size
from benchmarks.house.servers import Running
from lab_utils_mt._load.fleet import Outcome, run
from lab_utils_mt._load.plan import Plan

ARRIVAL = 0.002  # s between two clients; all at once, many would wait for the system's next try
MOST_PROCESSES = 2  # one drives several times what a server of Python answers


class LoadFailed(Exception):
    """Too many requests had no proper answer; the text tells which kinds."""


def closed_loop(
    server: Running,
    clients: int,
    size: Size,
    *,
    request: bytes | None = None,
    ok: bytes | None = None,
    reconnect: bool = False,
    rate: float | None = None,
    seconds: float | None = None,
    processes: int | None = None,
    timeout: float = 30.0,
    most_errors: float = 0.01,
) -> dict[str, float]:
    """Let clients ask as soon as they have their answer, and tell how that went.

    Args:
        server: From :func:`benchmarks.house.servers.serving`.
        clients: How many at a time.
        size: Tells how long is measured; a quarter of that, at least 0.2 s, warms up
            once all clients have come.
        request: Instead of the contestant's own; with its newline. Without one it is sent as by a
            client of 0.5.x, a connection for each: ``reconnect`` is set then.
        ok: How a proper reply begins; None: as the contestant says, and anything if there is a
            request of your own.
        reconnect: A new connection for each request; the latency counts from its start.
        rate: Requests per second of all clients together: an open loop after all.
        seconds: Instead of the size's.
        processes: Of the load; None: 1 for one client, else 2.
        timeout: Seconds to connect and for a reply.
        most_errors: Which part of the requests may fail; the tables tell how many did.

    Returns:
        ``requests_per_s``, ``p50_ms``, ``p99_ms`` (of 100 requests or more), ``p999_ms`` (of 1,000
        or more), ``clients_served`` (how many were waiting for an answer that came, on the
        average), ``load_busy`` (the share of a core that the busiest load process used, or of all
        cores that they used together if that is more; 0 to 1), ``errors``.

    Raises:
        LoadFailed: More of the requests failed.
    """
    seconds = seconds or size.seconds
    ramp = clients * ARRIVAL
    warm_up = ramp + max(0.2, seconds / 4)
    wire = server.peer.wire
    if wire is None:
        return call_in_processes(
            server, clients, seconds, warm_up, processes or min(clients, MOST_PROCESSES)
        )
    if request is None:
        request, ok = wire.request, ok or wire.ok
    terminated = request.endswith(b"\n")
    plan = Plan(
        host="127.0.0.1",
        port=server.port,
        request=request,
        clients=clients,
        seconds=seconds,
        rate=rate,
        ramp=ramp,
        warm_up=warm_up,
        processes=processes or min(clients, MOST_PROCESSES),
        reconnect=reconnect or not terminated,
        terminated=terminated,
        timeout=timeout,
        skip_prefix=wire.skip_prefix,
        greeting=wire.greeting,
        ok=ok,
    )
    return figures(run(plan), most_errors)


def figures(outcome: Outcome, most_errors: float = 0.01) -> dict[str, float]:
    """Return what a run of the engine has shown.

    Raises:
        LoadFailed: A larger part than ``most_errors`` of the requests failed, or all.
        KeyboardInterrupt: Somebody ended it early; the engine itself would keep half a measurement.
    """
    if outcome.was_interrupted:
        raise KeyboardInterrupt
    tally = outcome.tally
    errors = sum(tally.errors.values())
    if errors > most_errors * (errors + tally.requests) or not tally.requests:
        kinds = ", ".join(f"{count} {kind}" for kind, count in tally.errors.items())
        raise LoadFailed(f"{tally.requests} requests answered, errors: {kinds or 'none'}")
    return {
        "requests_per_s": tally.requests_per_second,
        **told(tally.timed, tally.percentile),
        "clients_served": tally.waited / tally.seconds,
        "load_busy": outcome.busiest,
        "errors": errors,
    }
