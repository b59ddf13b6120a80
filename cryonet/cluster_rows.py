"""ClusterRows: a scene's rows made by the workers of a cluster, block by block."""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from cryonet.cluster_worker import Block, BlockRows, Order
from cryonet.errors import CryonetError
from cryonet.model_pass import ModelPass
from cryonet.prediction_rows import Pending, PredictionRows
from cryonet.progress import SILENT, Progress

#: Strips of a block, at most. Each block also runs the row of windows above it that reaches into
#: it: of eight strips a ninth.
MOST_STRIPS = 8

#: Bytes that all blocks under way may come to: finished ones wait in the client.
UNDER_WAY = 512 * 2**20

#: Blocks that a worker has waiting beside the one it works on, so that it need not wait.
SPARE = 1.25

#: How often a block is given out again whose worker was lost, or had an error of its own.
RETRIES = 8

#: Seconds between two looks at what goes on, and between two counts of the workers.
LOOK, COUNT = 0.1, 2.0


@dataclass(slots=True)
class Workshop:
    """The workers of a cluster, as scenes share them.

    Attributes
    ----------
    submit
        Gives a block to some worker.
    count
        Says how many there are now.
    """

    submit: Callable[[Block], Future[BlockRows]]
    count: Callable[[], int]
    _under_way: int = 0
    _workers: int = 0
    _counted: float = float("-inf")
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    _told: dict[int, int] = field(default_factory=dict)

    @property
    def workers(self) -> int:
        """How many workers there were lately."""
        now = time.monotonic()
        if now - self._counted > COUNT:
            self._counted, self._workers = now, self.count()
        return self._workers

    @property
    def capacity(self) -> int:
        """How many blocks may be under way; never none, so that a cluster sees what to grow for."""
        return int(self.workers * SPARE) + 1

    def give(self, block: Block) -> Future[BlockRows] | None:
        """Give out a block; None if enough are under way."""
        with self._lock:
            if self._under_way >= self.capacity:
                return None
            self._under_way += 1
        try:
            return self.submit(block)
        except BaseException:
            self.back()
            raise

    def back(self) -> None:
        """Note that a block is no longer under way."""
        with self._lock:
            self._under_way -= 1

    def number(self) -> int:
        """Return a number for a block."""
        return next(self._numbers)

    def hear(self, told: Mapping[str, Any]) -> None:
        """Take what a worker tells of a block."""
        self._told[told["block"]] = told["done"]

    def heard(self, block: Block) -> int:
        """Return how many windows of a block are known to be done."""
        return self._told.get(block.number, 0)


@dataclass(frozen=True, slots=True)
class ClusterRows:
    """Makes rows on the workers of a cluster; see `cryonet.prediction_rows.RowMaker`.

    A worker that is lost costs the block it worked on: that is given out again, to any worker.
    So it is after an error that may be the worker's own; what is wrong with the input is wrong
    on every worker, and told at once.

    Attributes
    ----------
    workshop, order
        The workers, and what they are told of the prediction.
    passes
        The same prediction in this process: they are not run.
    title
        The scene, for messages.
    """

    workshop: Workshop
    order: Order
    passes: Sequence[ModelPass]
    title: str

    def rows(self, gaps: Sequence[range], progress: Progress = SILENT) -> Generator[Pending]:
        """Yield the rows of `gaps`, in the order in which they are finished.

        Raises
        ------
        CryonetError
            If a worker refuses the scene, or a block fails again and again: with scene and rows.
        """
        waiting = deque((block, 0) for block in self._blocks(gaps))
        given: dict[Future[BlockRows], tuple[Block, int]] = {}
        try:
            while waiting or given:
                while waiting and (future := self.workshop.give(waiting[0][0])) is not None:
                    given[future] = waiting.popleft()
                self._step(progress, [block for block, _ in (*waiting, *given.values())])
                if not given:
                    time.sleep(LOOK)
                for future in wait(given, LOOK, FIRST_COMPLETED).done:
                    block, lost = given.pop(future)
                    self.workshop.back()
                    made = self._result(future, block, lost)
                    if made is None:
                        waiting.appendleft((block, lost + 1))
                    else:
                        yield partial(self._learned, made)
            self._step(progress, [])
        finally:
            for future in given:
                future.cancel()
                self.workshop.back()

    def _blocks(self, gaps: Sequence[range]) -> list[Block]:
        """Return the blocks of the rows that are missing, from the top down."""
        tops = [top for top in self.passes[0].tops if any(top in gap for gap in gaps)]
        size = self._size(len(tops))
        found = []
        for gap in gaps:
            own = [top for top in tops if top in gap]
            firsts = own[::size]
            for first, stop in zip(firsts, (*firsts[1:], gap.stop), strict=True):
                found.append(Block(self.workshop.number(), self.order, range(first, stop)))
        return found

    def _size(self, strips: int) -> int:
        """Return how many strips a block has: some for each worker, and few enough bytes."""
        one = self.passes[0]
        height, width = one.geobox.shape
        capacity = self.workshop.capacity
        bands = len(one.manifest.classes) + 2 + (len(self.passes) > 1)
        strip = height / max(len(one.tops), 1) * width * bands
        return max(1, min(MOST_STRIPS, strips // (2 * capacity), int(UNDER_WAY / capacity / strip)))

    def _result(self, future: Future[BlockRows], block: Block, lost: int) -> BlockRows | None:
        """Return what a worker made; None if the block is to be given out again."""
        where = f"scene {self.title}, rows {block.rows.start} to {block.rows.stop}"
        try:
            return future.result()
        except CryonetError as error:
            raise type(error)(f"{where}: {error.what}", error.value, error.rule) from error
        except CancelledError as error:
            rule = "Finished rows are kept: run it again."
            raise CryonetError("the cluster was lost", where, rule) from error
        except Exception as error:
            if lost < RETRIES:
                return None
            raise CryonetError(
                f"{where}: the block failed {lost + 1} times",
                f"{type(error).__name__}: {error}",
                "A worker that dies has too little memory, or too little time, for a row of "
                "windows. Finished rows are kept: run it again.",
            ) from error

    def _learned(self, made: BlockRows) -> PredictionRows:
        for one, held in zip(self.passes, made.held, strict=True):
            before = one.attrs.get("batch_held")
            if held is not None:
                one.learn({"batch_held": min(held, before or held)})
        return made.rows

    def _step(self, progress: Progress, left: Sequence[Block]) -> None:
        """Tell how many windows are done, those of blocks under way among them."""
        one = self.passes[0]
        strip = one.windows_a_strip * len(self.passes)
        total = len(one.tops) * strip
        missing = 0
        for block in left:
            windows = sum(top in block.rows for top in one.tops) * strip
            missing += windows - min(windows, self.workshop.heard(block))
        message = "predicting" if self.workshop.workers or not left else "waiting for a worker"
        progress.step(total - missing, total, message)
