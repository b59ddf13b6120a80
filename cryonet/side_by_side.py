"""Batches loaded and run, several at once, and given back in their order."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch
from threadpoolctl import threadpool_limits

from cryonet.prefetch import Prefetch

T = TypeVar("T")
R = TypeVar("R")


def run_in_order(
    load: Callable[[int], T], run: Callable[[T], R], count: int, *, ahead: int, workers: int
) -> Generator[R]:
    """Yield ``run(load(n))`` of 0 to `count` - 1, in order. To be closed if it is not used up.

    Parameters
    ----------
    load
        Called by one thread at a time, almost always in order.
    ahead
        With one worker, how many a thread loads ahead while the caller's thread runs.
    workers
        Threads that load and run, each with its share of torch's threads. Threads of their own
        never wait for each other as those of one network do, and what one has loaded is still in
        its core's cache. So many results wait at most.
    """
    if workers == 1:
        with Prefetch(load, count, ahead=ahead) as loaded:
            yield from map(run, loaded)
        return
    one_at_a_time = threading.Lock()

    def both(number: int) -> R:
        with one_at_a_time:
            loaded = load(number)
        return run(loaded)

    share = max(1, torch.get_num_threads() // workers)
    pool = ThreadPoolExecutor(workers, "network", initializer=_take, initargs=(share,))
    under_way: deque[Future[R]] = deque()
    try:
        for number in range(count):
            under_way.append(pool.submit(both, number))
            if len(under_way) > workers:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _take(share: int) -> None:
    # A thread's first question to torch gives it all threads: after that the limit holds.
    torch.get_num_threads()
    threadpool_limits(share, user_api="openmp")
