"""How long work reports itself and how it is stopped."""

from __future__ import annotations

from typing import Protocol


class Cancelled(Exception):
    """Raised from `Progress.step` when the user has asked the work to stop."""


class Progress(Protocol):
    """Told of every tile, batch or epoch; may raise `Cancelled`."""

    def step(self, done: int, total: int, message: str = "") -> None:
        """Report that `done` of `total` units are finished."""
        ...


class _Silent:
    def step(self, done: int, total: int, message: str = "") -> None:
        return None


#: Progress that says nothing and never cancels: the default everywhere.
SILENT: Progress = _Silent()
