"""Places and turns, without a database."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from lab_utils_mt._storage.errors import PoolClosed, PoolTimeout
from lab_utils_mt._storage.turns import Turns


class Token:
    """Stands for a session."""


def soon() -> float:
    """Return a deadline that only a hang would miss."""
    return time.monotonic() + 20.0


def lend(turns: Turns[Token]) -> Token:
    """Take a turn, whatever it brings."""
    token = turns.take(soon())
    if token is None:
        token = Token()
        assert turns.admit(token)
    return token


def test_a_returned_session_is_lent_again() -> None:
    """No second one is opened."""
    turns: Turns[Token] = Turns(2)
    token = lend(turns)
    assert turns.take_back(token)
    assert turns.put_back(token)
    assert turns.take(soon()) is token


def test_a_session_is_taken_back_once() -> None:
    """The second return, and a stranger's, are noticed."""
    turns: Turns[Token] = Turns(2)
    token = lend(turns)
    assert turns.take_back(token)
    assert not turns.take_back(token)
    assert not turns.take_back(Token())


def test_waiting_ends_with_the_time() -> None:
    """The text tells how many are lent."""
    turns: Turns[Token] = Turns(1)
    token = lend(turns)
    with pytest.raises(PoolTimeout, match="1 lent"):
        turns.take(time.monotonic() + 0.05)
    assert turns.stats().timeouts == 1
    assert turns.stats().waiting == 0
    assert token


def test_no_time_at_all_still_gets_what_is_free() -> None:
    """A deadline in the past is no reason to refuse what is there."""
    turns: Turns[Token] = Turns(1)
    assert turns.take(time.monotonic() - 1) is None
    with pytest.raises(PoolTimeout):
        turns.take(time.monotonic() - 1)


def test_turns_come_in_the_order_of_arrival(wait_until: Any) -> None:
    """Twelve waiters, one place: nobody overtakes."""
    turns: Turns[Token] = Turns(1)
    token = lend(turns)
    order: list[int] = []

    def work(number: int) -> None:
        mine = turns.take(soon())
        assert mine is not None
        order.append(number)
        turns.take_back(mine)
        turns.put_back(mine)

    threads = []
    for number in range(12):
        threads.append(threading.Thread(target=work, args=(number,)))
        threads[-1].start()
        wait_until(lambda expected=number + 1: turns.stats().waiting == expected)
    turns.take_back(token)
    turns.put_back(token)
    for thread in threads:
        thread.join(20)
    assert order == list(range(12))


def test_a_vacated_place_lets_the_next_one_open_a_session(wait_until: Any) -> None:
    """A session that died does not take its place with it."""
    turns: Turns[Token] = Turns(1)
    token = lend(turns)
    got: list[Token | None] = [token]
    thread = threading.Thread(target=lambda: got.append(turns.take(soon())))
    thread.start()
    wait_until(lambda: turns.stats().waiting == 1)
    turns.take_back(token)
    turns.vacate("lost")
    thread.join(20)
    assert got == [token, None]
    assert turns.stats().lost == 1


def test_a_dropped_session_gives_its_place_to_a_waiter() -> None:
    """Garbage collection wakes nobody, so waiters look for themselves."""
    turns: Turns[Token] = Turns(1)
    tokens = [lend(turns)]
    timer = threading.Timer(0.05, tokens.clear)
    timer.start()
    assert turns.take(soon()) is None
    timer.join(20)
    gc.collect()
    assert turns.stats().leaked == 1


def test_closing_wakes_all_waiters(wait_until: Any) -> None:
    """They get PoolClosed, as does everybody who comes later."""
    turns: Turns[Token] = Turns(1)
    token = lend(turns)
    errors: list[str] = []

    def work() -> None:
        try:
            turns.take(soon())
        except PoolClosed as error:
            errors.append(str(error))

    threads = [threading.Thread(target=work) for _ in range(5)]
    for thread in threads:
        thread.start()
    wait_until(lambda: turns.stats().waiting == 5)
    turns.close()
    for thread in threads:
        thread.join(20)
    assert errors == ["the connection pool is closed"] * 5
    with pytest.raises(PoolClosed):
        turns.take(soon())
    assert turns.take_back(token)
    assert not turns.put_back(token)
    assert not turns.admit(Token())


def test_an_interrupted_waiter_leaves_the_queue() -> None:
    """Ctrl-C in a wait costs nobody a place."""
    turns: Turns[Token] = Turns(1)
    token = lend(turns)

    class Interrupted:
        """A deadline that is interrupted when it is looked at."""

        def __sub__(self, other: float) -> float:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        turns.take(Interrupted())  # type: ignore[arg-type]
    assert turns.stats().waiting == 0
    turns.take_back(token)
    turns.put_back(token)
    assert turns.take(soon()) is token


def test_only_old_idle_sessions_are_taken() -> None:
    """The oldest come first, and places stay taken until they are vacated."""
    turns: Turns[Token] = Turns(3)
    tokens = [lend(turns) for _ in range(3)]
    for token in tokens:
        turns.take_back(token)
        turns.put_back(token)
    assert turns.take_idle(older_than=turns.return_times[tokens[1]]) in ([], tokens[:1])
    assert tokens[2] in turns.take_idle()
    assert turns.stats().size == 3
    assert turns.stats().idle == 0


def test_many_threads_never_exceed_the_limit() -> None:
    """32 threads, 3 places, and the books balance at the end."""
    turns: Turns[Token] = Turns(3)
    lock = threading.Lock()
    using: set[Token] = set()
    most = [0]

    def work() -> None:
        for _ in range(100):
            token = lend(turns)
            with lock:
                assert token not in using
                using.add(token)
                most[0] = max(most[0], len(using))
            with lock:
                using.discard(token)
            assert turns.take_back(token)
            turns.put_back(token)

    threads = [threading.Thread(target=work) for _ in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    now = turns.stats()
    assert most[0] <= 3
    assert (now.requests, now.lent, now.waiting, now.timeouts) == (3200, 0, 0, 0)
    assert now.size == now.idle == now.opened <= 3


class Late:
    """A deadline that is interrupted at the moment when the turn comes."""

    def __init__(self, serve: Callable[[], object]) -> None:
        self._serve = serve

    def __sub__(self, other: float) -> float:
        self._serve()
        raise KeyboardInterrupt


def test_a_waiter_interrupted_when_it_was_served_gives_the_session_back() -> None:
    """Or its place, if it was to open one."""
    turns: Turns[Token] = Turns(1)
    token = lend(turns)
    late: Any = Late(lambda: turns.take_back(token) and turns.put_back(token))
    with pytest.raises(KeyboardInterrupt):
        turns.take(late)
    assert (turns.stats().lent, turns.stats().idle, turns.stats().size) == (0, 1, 1)
    assert turns.take(soon()) is token
    late = Late(lambda: turns.take_back(token) and turns.vacate())
    with pytest.raises(KeyboardInterrupt):
        turns.take(late)
    assert (turns.stats().lent, turns.stats().idle, turns.stats().size) == (0, 0, 0)


def test_a_wait_for_sessions_that_do_not_open_is_not_blamed_on_the_limit() -> None:
    """The text has the last failure, until a session opens."""
    turns: Turns[Token] = Turns(1)
    assert turns.take(soon()) is None
    with pytest.raises(PoolTimeout, match=r"only 0 of 1 .* being opened .* up: check") as caught:
        turns.take(time.monotonic())
    assert "maxconn" not in str(caught.value)
    turns.note_failure("no route to host")
    with pytest.raises(PoolTimeout, match="last failure: no route to host"):
        turns.take(time.monotonic())
    token = Token()
    turns.admit(token)
    turns.take_back(token)
    with pytest.raises(PoolTimeout, match="up: check that the server answers"):
        turns.take(time.monotonic())


def test_what_was_closed_stays_closed_in_a_forked_child() -> None:
    """It starts anew, but not open."""
    turns: Turns[Token] = Turns(1)
    turns.close()
    turns.forget_all()
    assert turns.stats().closed
    with pytest.raises(PoolClosed):
        turns.take(soon())
