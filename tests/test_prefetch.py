"""What is made ahead comes in order, waits in a short queue, and ends with its user."""

from __future__ import annotations

import threading
import time

import pytest

from cryonet.prefetch import Prefetch


@pytest.mark.parametrize("ahead", [0, 1, 3])
def test_things_come_in_order_and_all(ahead):
    with Prefetch(lambda n: n * n, 20, ahead=ahead) as squares:
        assert list(squares) == [n * n for n in range(20)]


def test_no_more_wait_than_allowed():
    made: list[int] = []
    with Prefetch(lambda n: made.append(n) or n, 100, ahead=3) as numbers:
        assert next(numbers) == 0
        time.sleep(0.4)
        # One given, three in the queue, one in the hand that has no room for it.
        assert len(made) == 5


def test_it_works_while_the_caller_does():
    def slow(number: int) -> int:
        time.sleep(0.05)
        return number

    with Prefetch(slow, 8, ahead=2) as behind:
        for _ in behind:
            time.sleep(0.08)
    with Prefetch(slow, 8, ahead=0) as at_once:
        list(at_once)
    assert at_once.waited > 0.39
    assert behind.waited < 0.5 * at_once.waited


def test_an_error_comes_out_where_it_happened():
    def make(number: int) -> int:
        if number == 3:
            raise ZeroDivisionError("the fourth")
        return number

    given = []
    with pytest.raises(ZeroDivisionError, match="the fourth"), Prefetch(make, 9, ahead=2) as all_:
        given.extend(iter(lambda: next(all_), None))
    assert given == [0, 1, 2]


def test_the_thread_ends_when_its_user_leaves():
    before = threading.active_count()
    with pytest.raises(KeyboardInterrupt), Prefetch(lambda n: n, 10**9, ahead=2) as numbers:
        next(numbers)
        assert threading.active_count() == before + 1
        raise KeyboardInterrupt
    assert threading.active_count() == before
