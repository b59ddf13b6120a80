"""The log of a training run: a CSV table and TensorBoard events, an entry an epoch."""

from __future__ import annotations

import csv
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from lightning_fabric.loggers.tensorboard import TensorBoardLogger

from cryonet.rank import is_first_process


class TrainLog:
    """Writes ``metrics.csv`` and TensorBoard events into one folder, anew for each run.

    Of several processes the first one alone writes.
    """

    def __init__(self, folder: str | Path) -> None:
        where = Path(folder)
        target = Path(os.devnull)
        if is_first_process():
            where.mkdir(parents=True, exist_ok=True)
            for old in where.glob("events.out.tfevents.*"):
                old.unlink()
            target = where / "metrics.csv"
        self._file = target.open("w", newline="", encoding="utf-8")
        self._table = csv.writer(self._file)
        self._events = TensorBoardLogger(where, name="", version="")
        self._header: list[str] = []

    def epoch(self, number: int, figures: dict[str, float]) -> None:
        """Write the figures of one epoch."""
        if not self._header:
            self._header = ["epoch", *figures]
            self._table.writerow(self._header)
        self._table.writerow([number, *(figures[name] for name in self._header[1:])])
        self._file.flush()
        self._events.log_metrics(figures, step=number)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
        self._events.finalize("failed" if error else "success")
