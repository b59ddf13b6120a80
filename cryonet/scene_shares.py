"""One progress over many scenes, told by whichever thread works on which."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass

from cryonet.progress import Cancelled, Progress


class SceneShares:
    """Adds up how far scenes are, in windows, and hands it on as one progress.

    Parameters
    ----------
    progress
        Told of the sum, only in the thread that made this.
    windows
        How many windows each scene has, by name.
    """

    def __init__(self, progress: Progress, windows: Mapping[str, int]) -> None:
        self._progress, self._windows = progress, dict(windows)
        self._done = dict.fromkeys(windows, 0)
        self._message = ""
        self._stopped = threading.Event()
        self._thread = threading.get_ident()

    def of(self, name: str) -> Progress:
        """Return the progress of one scene; it raises `Cancelled` once `stop` was called."""
        return _Share(self, name)

    def note(self, name: str, done: int, total: int, message: str) -> None:
        """Take what a scene tells; of its steps those are counted that are of all its windows."""
        if self._stopped.is_set():
            raise Cancelled("stopped with the other scenes")
        if total == self._windows[name]:
            self._done[name] = max(done, self._done[name])
        self._message = f"{name}, {message}"
        if threading.get_ident() == self._thread:
            self.show()

    def finish(self, name: str) -> None:
        """Count a scene as done, whatever became of it."""
        self._done[name] = self._windows[name]

    def show(self) -> None:
        """Tell the sum."""
        self._progress.step(sum(self._done.values()), sum(self._windows.values()), self._message)

    def stop(self) -> None:
        """Cancel all scenes, each at its next step."""
        self._stopped.set()


@dataclass(frozen=True, slots=True)
class _Share:
    shares: SceneShares
    name: str

    def step(self, done: int, total: int, message: str = "") -> None:
        self.shares.note(self.name, done, total, message)
