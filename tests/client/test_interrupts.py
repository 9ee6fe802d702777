"""Ctrl-C while a client waits."""

from __future__ import annotations

import _thread
import threading
import time

import pytest
from daemons import TIMEOUT, Stage

from lab_utils_mt.socket_comm import Client


@pytest.mark.parametrize("timeout", [None, 3 * TIMEOUT])
def test_ctrl_c_that_came_just_before_the_wait_is_seen(stage: Stage, timeout: float | None) -> None:
    """No system call ends for it: the program must look again by itself."""

    def interrupt() -> None:
        assert stage.waiting.acquire(timeout=TIMEOUT)
        _thread.interrupt_main()  # notes the signal, and wakes nobody

    thread = threading.Thread(target=interrupt)
    thread.start()
    began = time.monotonic()
    with Client(host="127.0.0.1", port=stage.port, timeout=timeout) as client:
        with pytest.raises(KeyboardInterrupt):
            client.send_message("hold")
        assert time.monotonic() - began < TIMEOUT / 2, "only the reply let it be seen"
        stage.gate.set()
        thread.join(TIMEOUT)
        assert client.send_message("ping") == "pong"
