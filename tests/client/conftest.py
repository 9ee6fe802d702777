"""What the tests of typed commands get."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from client.json_peers import Cryostat
from daemons import TIMEOUT, serving

from lab_utils_mt.socket_comm import Client


@pytest.fixture
def cryostat(pid_file: str) -> Iterator[Cryostat]:
    """Return a server with typed commands that is running."""
    with serving(Cryostat(pid_file_name=pid_file, host="127.0.0.1", port=0)) as server:
        yield server
        server.gate.set()


@pytest.fixture
def client(cryostat: Cryostat) -> Iterator[Client]:
    """Return a client of that server."""
    with Client(host="127.0.0.1", port=cryostat.port, timeout=TIMEOUT) as made:
        yield made
