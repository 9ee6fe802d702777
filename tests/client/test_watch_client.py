"""Readings, as a client watches them."""

from __future__ import annotations

import datetime
import math
import threading

import pytest
from client.json_peers import Cryostat, Peer, peer
from daemons import TIMEOUT, serving, wait_until

from lab_utils_mt.socket_comm import Client, MessageError


def test_readings_come_as_they_are_read(client: Client, cryostat: Cryostat) -> None:
    """On a connection of their own, which closing ends."""
    with client.watch("sensor") as watch:
        reading = next(watch)
        assert reading.name == "sensor"
        assert reading["kelvin"] == 4.2
        assert math.isnan(reading["broken"])
        assert reading.time.tzinfo is not None
        assert datetime.datetime.now(datetime.timezone.utc) - reading.time < datetime.timedelta(1)
        assert next(watch).time > reading.time
        assert client.call("set_temperature", 7) == 7
        wait_until(lambda: next(watch)["kelvin"] == 7)
    assert list(watch) == []
    wait_until(lambda: len(cryostat._client_registry.snapshot()[0]) == 1)


def test_an_unknown_poller_and_no_server_are_errors_at_once(client: Client) -> None:
    """Not only when the first reading is asked for."""
    with pytest.raises(MessageError, match="nothing"):
        client.watch("nothing")
    with pytest.raises(OSError, match="cannot reach"):
        Client(host="127.0.0.1", port=1).watch("sensor")


def test_a_failing_poller_says_why(client: Client, cryostat: Cryostat) -> None:
    """As a reading without values."""
    with client.watch("sensor") as watch:
        next(watch)
        cryostat.sensor_fails = True
        reading = next(one for one in watch if one.error)
    assert "the sensor is gone" in str(reading.error)
    assert dict(reading.values) == {}


def test_a_watch_survives_a_restart(pid_file: str) -> None:
    """It connects again by itself."""
    with serving(Cryostat(pid_file_name=pid_file, host="127.0.0.1", port=0)) as first:
        client = Client(host="127.0.0.1", port=first.port, timeout=TIMEOUT)
        watch = client.watch("sensor")
        next(watch)
    second = Cryostat(pid_file_name=pid_file, host="127.0.0.1", port=first.port)
    second.kelvin = 9.0
    with serving(second):
        assert next(one for one in watch if one["kelvin"] == 9.0)
        watch.close()
        client.close()


@pytest.mark.parametrize("stop", ["close", "cut"])
def test_another_thread_can_end_the_wait(client: Client, cryostat: Cryostat, stop: str) -> None:
    """The iteration ends; a client that was cut raises."""
    ends: list[str] = []

    def follow() -> None:
        try:
            for _ in watch:
                pass
            ends.append("close")
        except ConnectionAbortedError:
            ends.append("cut")

    watch = client.watch("sensor", every=1000)
    thread = threading.Thread(target=follow)
    thread.start()
    wait_until(lambda: watch._is_inside)
    (watch.close if stop == "close" else client.cut)()
    thread.join(TIMEOUT)
    assert ends == [stop]
    watch.close()


def test_a_watch_that_is_dropped_closes_its_connection(client: Client, cryostat: Cryostat) -> None:
    """Without close()."""
    watch = client.watch("sensor")
    next(watch)
    client.close()
    assert len(cryostat._client_registry.snapshot()[0]) >= 1, "the watch has a connection"
    del watch
    wait_until(lambda: not cryostat._client_registry.snapshot()[0])


def test_missed_readings_are_counted() -> None:
    """By the server; here they only arrive."""

    def push(server: Peer) -> None:
        request = server.ask()
        assert request["params"] == {"name": "x", "on_change": 0.5}
        server.send(id=request["id"], result={"watching": "x"})
        time = "2026-11-22T21:00:00.123456Z"
        server.send(method="watch", params={"name": "x", "time": time, "values": {}, "missed": 3})
        assert server.file.read() == b""

    def both(server: Peer) -> None:
        push(server.describe("watch"))

    with (
        peer(both) as port,
        Client(host="127.0.0.1", port=port, timeout=TIMEOUT).watch("x", on_change=0.5) as watch,
    ):
        assert next(watch).missed == 3
