"""What the benchmarks share: programs that take turns, their medians, and where results go.

Every task is one piece of work that several programs can do, ours under the name "cryonet".
Each round runs each of them once, each time another one first, and what is compared is the
ratio within a round: so a machine that is busy for a while slows all of them. A program whose
package is not installed is named and left out. Sides are no powers of two, as those of scenes
are not: with those the rows of an image crowd into the same places of the processor's cache.

Fresh memory can take the system longer to hand out than a layer takes to compute. Where
that matters a benchmark runs twice, in processes of their own: with "fresh memory", as the
C library's allocator has it by default, and with "kept memory", where the allocator gives
nothing back to the system, so that all programs alike find memory that was used before.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

Job = Callable[[], object]

#: Of each task, by program: the job, or None if it is not installed, and the pixels it does.
Tasks = Mapping[str, Mapping[str, tuple[Job | None, float]]]

FRESH, KEPT = "fresh memory", "kept memory"
_ALLOCATOR = {
    FRESH: {},
    KEPT: {
        "MALLOC_MMAP_MAX_": "0",
        "MALLOC_TRIM_THRESHOLD_": str(1 << 40),
        "MALLOC_TOP_PAD_": str(1 << 26),
    },
}
_STATE = "CRYONET_BENCHMARK_MEMORY"
_RESULTS = Path(__file__).resolve().with_name("results.json")


def installed(module: str) -> bool:
    """Return whether a peer's Python module is here."""
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # the package it would be in
        return False


def start(
    tasks: Callable[..., Tasks], sides: tuple[int, ...], rounds: int,
    *, threads: int = 1, states: tuple[str, ...] = (FRESH,),
) -> None:  # fmt: skip
    """Run the benchmark of a script: ``python bench_x.py [SIDE] [ROUNDS]``.

    Tasks run in a temporary folder, and may write there.

    Parameters
    ----------
    tasks
        From the side of the images in pixels to the tasks.
    sides, rounds
        Used if the command line does not give them.
    threads
        Threads of the programs that take theirs from OpenMP.
    states
        Of `FRESH` and `KEPT`.
    """
    if _STATE not in os.environ:
        for state in states:
            more = {_STATE: state, "OMP_NUM_THREADS": str(threads), **_ALLOCATOR[state]}
            subprocess.run([sys.executable, *sys.argv], env=os.environ | more, check=True)
        return
    given = [int(word) for word in sys.argv[1:3]]
    np.seterr(all="ignore")
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for side in given[:1] or sides:
            for task, programs in tasks(side).items():
                _race(task, programs, side, given[1] if len(given) > 1 else rounds)
        os.chdir("/")


def _race(
    task: str, programs: Mapping[str, tuple[Job | None, float]], side: int, rounds: int
) -> None:
    present = {name: (job, size) for name, (job, size) in programs.items() if job is not None}
    speeds: dict[str, list[float]] = {name: [] for name in present}
    names = list(present)
    for turn in range(rounds + 1):
        # Whoever is always last would gain by a machine that grows faster, or lose.
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            job, pixels = present[name]
            begin = time.perf_counter()
            made = job()
            spent = time.perf_counter() - begin
            del made
            if turn:  # the first round compiles
                speeds[name].append(pixels / spent / 1e6)
    print(f"{task}, {side}², {os.environ[_STATE]}")
    rows = {}
    for name, found in speeds.items():
        speed = float(np.median(found))
        ratio = float(np.median(np.array(speeds["cryonet"]) / np.array(found)))
        rows[name] = {"Mpx/s": float(f"{speed:.4g}"), "cryonet is": float(f"{ratio:.3g}")}
        print(f"  {name:38s} {speed:10.3f} Mpx/s   cryonet is {ratio:8.1f} ×", flush=True)
    absent = sorted(set(programs) - set(present))
    for name in absent:
        print(f"  {name:38s} not installed")
    keep(
        f"{task}, {side}², {os.environ[_STATE]}",
        {"rounds": rounds, "programs": rows, "absent": absent},
    )


def keep(task: str, result: Mapping[str, Any]) -> None:
    """Write the result of a task to ``results.json``, beside those of the others."""
    kept = json.loads(_RESULTS.read_text()) if _RESULTS.exists() else {}
    kept[task] = result
    part = _RESULTS.with_suffix(".part")
    part.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n")
    part.replace(_RESULTS)
