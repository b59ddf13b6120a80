"""Predicts in child processes that are killed at a chosen point, then again undisturbed.

Run as ``python killed_worker.py BUNDLE SCENE FOLDER``. For each point a line of JSON: its name,
how the first child ended, what stood at the output then, and how the second child ended.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cryonet.prediction_stream
import cryonet.row_store
from cryonet.model_pass import ModelPass
from cryonet.predict_workflow import run_prediction


def killed_at(call: int, what: Callable[..., Any]) -> Callable[..., Any]:
    """Return `what`, which at its `call`-th call ends the process as `kill -9` does."""
    calls = 0

    def wrapped(*given: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call:
            os.kill(os.getpid(), signal.SIGKILL)
        return what(*given, **options)

    return wrapped


def tile(number: int) -> None:
    """At a batch of windows."""
    plain = ModelPass.__init__

    def made(self: ModelPass, *given: Any, **options: Any) -> None:
        plain(self, *given, **options)
        self._run = killed_at(number, self._run)

    ModelPass.__init__ = made  # type: ignore[method-assign]


def rows() -> None:
    """Between the rows of the second strip and its line in the journal."""
    plain = cryonet.row_store._to_disk
    cryonet.row_store._to_disk = killed_at(1 + 3 + 1 + 3 + 1, plain)


def overviews() -> None:
    cryonet.prediction_stream.cog_of_rows = killed_at(2, cryonet.prediction_stream.cog_of_rows)


def before_rename() -> None:
    cryonet.prediction_stream.put_folder = killed_at(1, cryonet.prediction_stream.put_folder)


def between_renames() -> None:
    """The old folder stands aside, the new one has not taken its place."""
    plain, seen = Path.replace, []

    def replace(self: Path, target: Any) -> Path:
        if seen and self.name == "finished":
            os.kill(os.getpid(), signal.SIGKILL)
        seen.extend([1] if Path(target).name == "replaced" else [])
        return plain(self, target)

    Path.replace = replace  # type: ignore[method-assign, assignment]


def tidying() -> None:
    """After the rename, with the rows still there."""
    put = cryonet.prediction_stream.put_folder

    def placed(*given: Any, **options: Any) -> None:
        put(*given, **options)
        os.kill(os.getpid(), signal.SIGKILL)

    cryonet.prediction_stream.put_folder = placed


POINTS: dict[str, Callable[[], None]] = {
    "first tile": partial(tile, 1),
    "a tile": partial(tile, 7),
    "rows": rows,
    "overviews": overviews,
    "before the rename": before_rename,
    "between the renames": between_renames,
    "tidying": tidying,
}


def child(bundle: str, scene: str, out: Path, spoil: Callable[[], None] | None) -> int:
    """Predict in a process of its own; return how it ended."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            if spoil:
                spoil()
            run_prediction(
                bundle, scene, out, device="cpu", batch=2, overwrite=out.name != "tidying"
            )
            code = 0
        except BaseException as error:
            print(repr(error), file=sys.stderr)
        finally:
            os._exit(code)
    return os.waitpid(pid, 0)[1]


def main() -> None:
    bundle, scene, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    child(bundle, scene, folder / "undisturbed", None)
    for name, spoil in POINTS.items():
        out = folder / name
        if name == "between the renames":
            child(bundle, scene, out, None)
        first = child(bundle, scene, out, spoil)
        there = out.exists()
        second = child(bundle, scene, out, None)
        print(json.dumps([name, first, there, second]), flush=True)


if __name__ == "__main__":
    main()
