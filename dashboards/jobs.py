"""Background work: one worker, a queue with positions, progress, cancel and result."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Literal

from cryonet.errors import CryonetError
from cryonet.progress import Cancelled, Progress

State = Literal["queued", "running", "done", "failed", "cancelled"]

_log = logging.getLogger(__name__)


class Job:
    """One piece of work: what it is doing now, and what came of it.

    It is itself the `Progress` its work reports to: `step` takes note, and raises
    `Cancelled` once somebody has asked the work to stop.
    """

    def __init__(self, work: Callable[[Progress], Any]) -> None:
        self._work = work
        self._stop = threading.Event()
        self._ended = threading.Event()
        self._began = 0.0
        self.state: State = "queued"
        self.done = 0
        self.total = 0
        self.message = ""
        self.result: Any = None
        self.error = ""

    def step(self, done: int, total: int, message: str = "") -> None:
        """Take note that `done` of `total` units are finished."""
        self.done, self.total, self.message = done, total, message
        if self._stop.is_set():
            raise Cancelled

    @property
    def over(self) -> bool:
        """Whether nothing more will happen."""
        return self._ended.is_set()

    @property
    def cancelling(self) -> bool:
        """Whether the work has been asked to stop and has not answered yet."""
        return self._stop.is_set() and not self.over

    @property
    def share(self) -> float:
        """Finished share of the work, 0 to 1."""
        return self.done / self.total if self.total else 0.0

    def seconds_left(self) -> float | None:
        """Seconds until the end at the pace so far; None before the first unit."""
        if self.state != "running" or not self.done:
            return None
        return (time.monotonic() - self._began) / self.done * (self.total - self.done)

    def cancel(self) -> None:
        """Ask the work to stop at its next step; a queued job ends when its turn comes."""
        self._stop.set()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for the end; return whether it came within `timeout` seconds."""
        return self._ended.wait(timeout)

    def run(self) -> None:
        """Do the work in the calling thread, and keep what came of it."""
        self._began = time.monotonic()
        try:
            if self._stop.is_set():
                raise Cancelled
            self.state = "running"
            self.result = self._work(self)
            self.state = "done"
        except Cancelled:
            self.state = "cancelled"
        except CryonetError as error:
            self.state, self.error = "failed", str(error)
        except Exception as error:
            # The traceback is for the server's log; the page shows one readable sentence.
            _log.exception("a dashboard job failed")
            self.state = "failed"
            self.error = f"The work stopped unexpectedly ({type(error).__name__}: {error})."
        finally:
            self._ended.set()


class JobQueue:
    """Jobs done one after the other by a single worker that all users share.

    The worker thread lives only while there is work, so an idle server holds none.
    """

    def __init__(self) -> None:
        self._jobs: list[Job] = []
        self._lock = threading.Lock()
        self._worker: threading.Thread | None = None

    def submit(self, work: Callable[[Progress], Any]) -> Job:
        """Return a new job, queued behind those already there."""
        job = Job(work)
        with self._lock:
            self._jobs.append(job)
            if self._worker is None:
                self._worker = threading.Thread(target=self._run, name="jobs", daemon=True)
                self._worker.start()
        return job

    def position(self, job: Job) -> int:
        """Return how many jobs come before this one; 0 when it runs or is over."""
        with self._lock:
            return self._jobs.index(job) if job in self._jobs else 0

    def cancel(self, job: Job) -> None:
        """Stop `job`: at once while it waits, at its next step while it runs."""
        job.cancel()
        with self._lock:
            waiting = job in self._jobs[1:]
            if waiting:
                self._jobs.remove(job)
        if waiting:
            job.run()

    def _run(self) -> None:
        while True:
            with self._lock:
                if not self._jobs:
                    self._worker = None
                    return
                job = self._jobs[0]
            job.run()
            with self._lock:
                self._jobs.remove(job)
