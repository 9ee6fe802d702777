"""Places and turns, without a database."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from lab_utils_mt._storage.errors import (
    DatabaseUnavailable,
    PoolClosed,
    PoolTimeout,
    TooManyRequests,
)
from lab_utils_mt._storage.turns import Turns


class Token:
    """Stands for a session."""


def soon() -> float:
    """Return a deadline that only a hang would miss."""
    return time.monotonic() + 20.0


def served(limit: int, **options: Any) -> Turns[Token]:
    """Return turns whose openers need no time."""
    turns: Turns[Token] = Turns(limit, **options)

    def work() -> None:
        while turns.hire(1):
            place = turns.claim()
            if place is not None:
                turns.admit(place.stale or Token(), new=place.stale is None)
            turns.dismiss()

    turns.on_demand = work
    return turns


def lend(turns: Turns[Token]) -> Token:
    """Take a turn."""
    return turns.take(soon())


def give_back(turns: Turns[Token], token: Token) -> bool:
    """Return a session in good order."""
    return turns.take_back(token) and turns.put_back(token)


def test_a_returned_session_is_lent_again() -> None:
    """No second one is opened."""
    turns = served(2)
    token = lend(turns)
    assert turns.take_back(token)
    assert turns.put_back(token)
    assert turns.take(soon()) is token


def test_a_session_is_taken_back_once() -> None:
    """The second return, and a stranger's, are noticed."""
    turns = served(2)
    token = lend(turns)
    assert turns.take_back(token)
    assert not turns.take_back(token)
    assert not turns.take_back(Token())


def test_waiting_ends_with_the_time() -> None:
    """The text tells how many there are."""
    turns = served(1)
    token = lend(turns)
    with pytest.raises(PoolTimeout, match="all 1 database sessions stayed in use"):
        turns.take(time.monotonic() + 0.05)
    assert turns.stats().timeouts == 1
    assert turns.stats().waiting == 0
    assert token


def test_no_time_at_all_still_gets_what_is_free() -> None:
    """A deadline in the past is no reason to refuse what is there."""
    turns = served(1)
    give_back(turns, lend(turns))
    token = turns.take(time.monotonic() - 1)
    with pytest.raises(PoolTimeout):
        turns.take(time.monotonic() - 1)
    assert turns.take_back(token)


def test_turns_come_in_the_order_of_arrival(wait_until: Any) -> None:
    """Twelve waiters, one place: nobody overtakes."""
    turns = served(1)
    token = lend(turns)
    order: list[int] = []

    def work(number: int) -> None:
        mine = turns.take(soon())
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


def test_a_vacated_place_lets_a_session_be_opened(wait_until: Any) -> None:
    """A session that died does not take its place with it."""
    turns = served(1)
    token = lend(turns)
    got: list[Token] = []
    thread = threading.Thread(target=lambda: got.append(turns.take(soon())))
    thread.start()
    wait_until(lambda: turns.stats().waiting == 1)
    turns.take_back(token)
    turns.vacate("lost")
    thread.join(20)
    assert len(got) == 1
    assert got[0] is not token
    assert turns.stats().lost == 1


def test_a_dropped_session_gives_its_place_to_a_waiter() -> None:
    """Garbage collection wakes nobody, so waiters look for themselves."""
    turns = served(1)
    tokens = [lend(turns)]
    timer = threading.Timer(0.05, tokens.clear)
    timer.start()
    token = lend(turns)
    timer.join(20)
    assert turns.stats().leaked == 1
    assert turns.take_back(token)


def test_closing_wakes_all_waiters(wait_until: Any) -> None:
    """They get PoolClosed, as does everybody who comes later."""
    turns = served(1)
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
    turns = served(1)
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
    turns = served(3)
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
    turns = served(3)
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
    """Also to a pool that was closed meanwhile: then the place is free."""
    turns = served(1)
    token = lend(turns)
    late: Any = Late(lambda: give_back(turns, token))
    with pytest.raises(KeyboardInterrupt):
        turns.take(late)
    assert (turns.stats().lent, turns.stats().idle, turns.stats().size) == (0, 1, 1)
    assert lend(turns) is token
    late = Late(lambda: (give_back(turns, token), turns.close()))
    with pytest.raises(KeyboardInterrupt):
        turns.take(late)
    assert (turns.stats().lent, turns.stats().idle, turns.stats().size) == (0, 0, 0)


def test_three_reasons_for_no_session_are_three_errors() -> None:
    """All are in use; nobody opened one yet; the database is away."""
    turns: Turns[Token] = Turns(1)
    with pytest.raises(PoolTimeout, match="0 of 1 database sessions are lent"):
        turns.take(time.monotonic())
    turns.on_demand = lambda: turns.hire(1)
    with pytest.raises(DatabaseUnavailable, match="has not answered yet"):
        turns.take(time.monotonic())
    turns.fail(DatabaseUnavailable("no route to host"))
    with pytest.raises(DatabaseUnavailable, match="no route to host"):
        turns.take(time.monotonic())
    turns = served(1)
    token = lend(turns)
    with pytest.raises(PoolTimeout, match="stayed in use"):
        turns.take(time.monotonic())
    assert turns.take_back(token)


def test_a_failure_that_lasts_is_told_at_once(wait_until: Any) -> None:
    """Each waiter gets an error of its own."""
    turns: Turns[Token] = Turns(2)
    errors: list[DatabaseUnavailable] = []

    def work() -> None:
        with pytest.raises(DatabaseUnavailable, match="no such role") as caught:
            turns.take(soon())
        errors.append(caught.value)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    wait_until(lambda: turns.stats().waiting == 3)
    turns.fail(DatabaseUnavailable("no such role"), at_once=True)
    for thread in threads:
        thread.join(20)
    assert len(set(map(id, errors))) == 3
    assert turns.stats().waiting == 0


def test_only_so_many_may_wait(wait_until: Any) -> None:
    """64 threads, 4 places, 16 may wait: 44 are refused at once, and nobody else."""
    turns = served(4, max_waiting=16)
    tokens = [lend(turns) for _ in range(4)]
    refused: list[str] = []
    waited: list[Token] = []

    def work() -> None:
        try:
            token = lend(turns)
        except TooManyRequests as error:
            refused.append(str(error))
        else:
            waited.append(token)
            give_back(turns, token)

    threads = [threading.Thread(target=work) for _ in range(60)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(refused) == 44)
    assert turns.stats().waiting == 16
    for token in tokens:
        give_back(turns, token)
    for thread in threads:
        thread.join(20)
    assert len(waited) == 16
    assert turns.stats().rejected == len(refused) == 44
    assert "max_waiting is 16" in refused[0]


def test_free_places_do_not_count_as_waiting() -> None:
    """In a new pool everybody waits, for a session to be opened."""
    turns: Turns[Token] = Turns(2, max_waiting=0)
    threads = []
    for _ in range(2):
        threads.append(threading.Thread(target=turns.take, args=(soon(),)))
        threads[-1].start()
    deadline = soon()
    while turns.stats().waiting < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    with pytest.raises(TooManyRequests):
        turns.take(soon())
    for _ in threads:
        turns.hire(1)
        assert turns.claim()
        turns.admit(Token())
        turns.dismiss()
    for thread in threads:
        thread.join(20)


def test_a_session_idle_for_long_is_proved_first() -> None:
    """The opener gets it, with its place; nobody is lent it before."""
    turns: Turns[Token] = Turns(1, fresh=0.0)
    seen: list[Token | None] = []

    def prove() -> None:
        while turns.hire(1):
            place = turns.claim()
            assert place is not None
            seen.append(place.stale)
            turns._fresh = 1000.0
            turns.admit(place.stale or Token(), new=place.stale is None)
            turns.dismiss()

    turns.on_demand = prove
    token = lend(turns)
    give_back(turns, token)
    turns._fresh = 0.0
    assert lend(turns) is token
    assert seen == [None, token]
    assert turns.stats().opened == 1
    assert turns.take_back(token)


def test_no_more_openers_than_may_work() -> None:
    """Nor more than somebody waits for; who is not needed is sent home."""
    turns: Turns[Token] = Turns(8)
    assert not turns.hire(4)
    threads = []
    for _ in range(3):
        threads.append(threading.Thread(target=turns.take, args=(soon(),)))
        threads[-1].start()
    deadline = soon()
    while turns.stats().waiting < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert [turns.hire(2) for _ in range(3)] == [True, True, False]
    assert [turns.hire(4) for _ in range(2)] == [True, False]
    assert turns.keep(3)
    assert not turns.keep(2)
    for _ in threads:
        assert turns.claim()
        turns.admit(Token())
    assert not turns.keep(3)
    for thread in threads:
        thread.join(20)


def test_what_was_closed_stays_closed_in_a_forked_child() -> None:
    """It starts anew, but not open."""
    turns = served(1)
    turns.close()
    turns.forget_all()
    assert turns.stats().closed
    with pytest.raises(PoolClosed):
        turns.take(soon())
