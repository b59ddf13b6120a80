"""Batches run at once come back in order, each thread with its share, and end with their user."""

from __future__ import annotations

import threading
import time

import pytest
import torch

from cryonet.side_by_side import run_in_order


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_results_come_in_order_and_all(workers):
    def run(number: int) -> int:
        time.sleep(0.01 * (number % 3 == 0))
        return number * number

    found = run_in_order(lambda n: n, run, 20, ahead=0, workers=workers)
    assert list(found) == [n * n for n in range(20)]


def test_several_run_while_one_loads():
    loading, running, most_loading, most_running = [], [], [], []

    def load(number: int) -> int:
        loading.append(number)
        most_loading.append(len(loading))
        time.sleep(0.002)
        loading.remove(number)
        return number

    def run(number: int) -> int:
        running.append(number)
        most_running.append(len(running))
        time.sleep(0.03)
        running.remove(number)
        return number

    list(run_in_order(load, run, 30, ahead=0, workers=3))
    assert max(most_loading) == 1
    assert max(most_running) == 3


def test_no_more_wait_than_there_are_workers():
    run: list[int] = []
    found = run_in_order(lambda n: n, lambda n: run.append(n) or n, 100, ahead=0, workers=2)
    assert next(found) == 0
    time.sleep(0.3)
    assert len(run) == 3
    found.close()
    assert len(run) == 3


def test_threads_share_what_torch_has():
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        found = run_in_order(lambda n: n, lambda _: torch.get_num_threads(), 8, ahead=0, workers=2)
        assert set(found) == {2}
        assert torch.get_num_threads() == 4
        assert set(run_in_order(int, lambda _: torch.get_num_threads(), 3, ahead=0, workers=1)) == {
            4
        }
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("broken", ["load", "run"])
def test_an_error_comes_in_its_place_and_ends_all(workers, broken):
    def fail(number: int) -> int:
        if number == 4:
            raise ValueError(number)
        return number

    steps = {"load": int, "run": int, broken: fail}
    threads = threading.active_count()
    found = run_in_order(steps["load"], steps["run"], 9, ahead=1, workers=workers)
    assert [next(found) for _ in range(4)] == [0, 1, 2, 3]
    with pytest.raises(ValueError, match="4"):
        next(found)
    assert threading.active_count() == threads
