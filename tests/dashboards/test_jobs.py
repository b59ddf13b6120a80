from __future__ import annotations

import logging
import threading
import time

import pytest

from cryonet.errors import SceneError
from dashboards.jobs import JobQueue


@pytest.fixture
def queue():
    return JobQueue()


def stepping(go, *, steps=5, seen=None):
    def work(progress):
        for done in range(steps):
            progress.step(done, steps, "tiles")
            if seen is not None:
                seen.append(done)
            assert go.acquire(timeout=10)
        return "map"

    return work


def wait_for(condition, seconds=5.0):
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "it did not come"
        time.sleep(0.002)


def test_a_job_reports_and_returns(queue):
    go = threading.Semaphore(0)
    job = queue.submit(stepping(go, steps=4))
    wait_for(lambda: job.total == 4)
    assert (job.state, job.share, job.seconds_left()) == ("running", 0.0, None)
    go.release(2)
    wait_for(lambda: job.done == 2)
    assert job.share == 0.5
    assert job.seconds_left() > 0
    go.release(2)
    assert job.wait(5)
    assert (job.state, job.result, job.error) == ("done", "map", "")
    assert job.seconds_left() is None


def test_cancel_is_answered_at_the_next_step(queue):
    go, seen = threading.Semaphore(0), []
    job = queue.submit(stepping(go, steps=50, seen=seen))
    wait_for(lambda: seen == [0])
    queue.cancel(job)
    assert job.cancelling
    go.release()
    assert job.wait(5)
    assert job.state == "cancelled"
    assert seen == [0], "no tile was begun after the cancel"
    assert not job.cancelling
    assert job.result is None


def test_one_worker_and_positions(queue):
    go = threading.Semaphore(0)
    first, second, third = (queue.submit(stepping(go, steps=1)) for _ in range(3))
    wait_for(lambda: first.state == "running")
    assert [queue.position(job) for job in (first, second, third)] == [0, 1, 2]
    assert (second.state, third.state) == ("queued", "queued")
    queue.cancel(second)
    assert (second.state, second.over) == ("cancelled", True), "a waiting job ends at once"
    assert queue.position(third) == 1
    go.release(2)
    assert third.wait(5)
    assert (first.state, third.state) == ("done", "done")
    assert queue.position(third) == 0


def test_the_queue_works_again_after_it_ran_empty(queue):
    for value in (1, 2):
        job = queue.submit(lambda _, value=value: value)
        assert job.wait(5)
        assert job.result == value
        wait_for(lambda: queue._worker is None)


def test_a_failure_is_a_sentence(queue, caplog):
    def wrong(_):
        raise SceneError("the scene is empty", "x", "Give a band.")

    job = queue.submit(wrong)
    assert job.wait(5)
    assert (job.state, job.error) == ("failed", "the scene is empty: x. Give a band.")

    def bug(_):
        return 1 / 0

    with caplog.at_level(logging.CRITICAL):
        job = queue.submit(bug)
        assert job.wait(5)
    assert job.state == "failed"
    assert "ZeroDivisionError" in job.error
    assert "Traceback" not in job.error
    assert queue.submit(lambda _: 3).wait(5), "the worker outlives a failing job"


def test_cancelling_what_is_over_changes_nothing(queue):
    job = queue.submit(lambda _: 1)
    assert job.wait(5)
    queue.cancel(job)
    assert (job.state, job.result) == ("done", 1)
