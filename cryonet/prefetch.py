"""Prefetch: things made ahead in a background thread, in order."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Generic, Self, TypeVar

T = TypeVar("T")


class _Failure:
    def __init__(self, error: BaseException) -> None:
        self.error = error


class Prefetch(Generic[T]):
    """Gives ``make(0)``, ``make(1)`` … while a thread makes the next ones.

    An error of `make` is raised where its thing would have come. To be used in a ``with``
    statement; at its end the thread is told to stop, and is waited for.

    Parameters
    ----------
    make
        From a number to a thing.
    count
        How many there are.
    ahead
        How many finished ones may wait. 0 makes each when it is asked for, without a thread.

    Attributes
    ----------
    waited
        Seconds that the caller has waited for things, so far.
    """

    def __init__(self, make: Callable[[int], T], count: int, *, ahead: int) -> None:
        self._make, self._count, self._given = make, count, 0
        self._ready: queue.Queue[T | _Failure] = queue.Queue(max(1, ahead))
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="prefetch", daemon=True)
        self._threaded = ahead > 0
        self.waited = 0.0

    def __enter__(self) -> Self:
        if self._threaded:
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        if self._threaded:
            self._thread.join()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        if self._given == self._count:
            raise StopIteration
        started = time.perf_counter()
        found = self._ready.get() if self._threaded else self._make(self._given)
        self.waited += time.perf_counter() - started
        if isinstance(found, _Failure):
            raise found.error
        self._given += 1
        return found

    def _run(self) -> None:
        for number in range(self._count):
            try:
                made: T | _Failure = self._make(number)
            except BaseException as error:
                made = _Failure(error)
            if not self._put(made) or isinstance(made, _Failure):
                return

    def _put(self, made: T | _Failure) -> bool:
        """Wait until there is room; False once told to stop."""
        while not self._stop.is_set():
            try:
                self._ready.put(made, timeout=0.05)
            except queue.Full:
                continue
            return True
        return False
