"""Predicts in child processes that are killed, then again undisturbed.

Run as ``python killed_worker.py BUNDLE SCENE FOLDER [TIMES]``. For each point of `POINTS`, or as
many times at random moments, a line of JSON: its name, how the first child ended, whether
anything stood at the output then, and how the second child ended.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import cryonet.prediction_stream
import cryonet.row_store
from cryonet.predict_workflow import run_prediction
from cryonet.runner import Runner


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
    Runner.__call__ = killed_at(number, Runner.__call__)  # type: ignore[method-assign]


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


def child(
    bundle: str,
    scene: str,
    out: Path,
    spoil: Callable[[], None] | None,
    *,
    after: float | None = None,
) -> int:
    """Predict in a process of its own, killed `after` some seconds; return how it ended."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            if spoil:
                spoil()
            # A run that was killed after its last rename is finished: no overwriting.
            overwrite = spoil is not None or out.name == "between the renames"
            run_prediction(bundle, scene, out, device="cpu", batch=2, overwrite=overwrite)
            code = 0
        except BaseException as error:
            print(repr(error), file=sys.stderr)
        finally:
            os._exit(code)
    if after is not None:
        time.sleep(after)
        os.kill(pid, signal.SIGKILL)
    return os.waitpid(pid, 0)[1]


def at_random(bundle: str, scene: str, folder: Path, times: int) -> None:
    """Kill at random moments of the time that the undisturbed run takes; each kill hits."""
    started = time.monotonic()
    child(bundle, scene, folder / "undisturbed", None)
    whole = time.monotonic() - started
    chance = random.Random(0)
    for number in range(times):
        out, first = folder / f"{number}", 0
        while not first:
            shutil.rmtree(out, ignore_errors=True)
            started = time.monotonic()
            first = child(bundle, scene, out, None, after=chance.random() * whole)
            if not first:  # It was through before: the machine has become faster.
                whole = min(whole, time.monotonic() - started)
        there = out.exists()
        second = child(bundle, scene, out, None)
        print(json.dumps([f"{number}", first, there, second]), flush=True)


def main() -> None:
    bundle, scene, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    if len(sys.argv) > 4:
        at_random(bundle, scene, folder, int(sys.argv[4]))
        return
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
