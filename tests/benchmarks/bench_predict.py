"""Prediction of a large raster, file to file, beside other ways to slide windows over it.

Run with ``python tests/benchmarks/bench_predict.py [SIDE] [ROUNDS] [MODEL]``; MODEL is
``null model`` or ``small CryoNet``. Each program runs in a process of its own, so that its peak
of memory is its own, and each round another one is first. On a small raster it also shows by how
much a constant and a coordinate come back wrong. Results go to ``tests/benchmarks/results.json``.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import sliding_windows as ways
import torch
from torch import nn
from turns import installed, keep

from cryonet.memory import keep_memory

#: Rows and columns of the small rasters.
SMALL = ((600, 600), (1111, 777))


def one_run(name: str, scene: Path, model_name: str, out: Path) -> dict[str, float]:
    """Predict once; return seconds and the peak of memory."""
    torch.set_num_threads(2)
    model = ways.MODELS[model_name]()
    if name == "cryonet":
        keep_memory()  # As the command line does.
    # Once small, for what is imported and compiled.
    for folder in (scene.with_name("small"), scene):
        shutil.rmtree(out, ignore_errors=True)
        start = time.perf_counter()
        if name == "cryonet":
            ways.cryonet_files(folder, model, out)
        else:
            ways.peer_files(ways.SWEEPS[name], folder, model, out)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    return {"seconds": seconds, "cpu": time.process_time(), "peak GB": peak}


class _Ones(nn.Module):
    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return torch.ones_like(image[:, : ways.CLASSES])


def errors(name: str, folder: Path) -> dict[str, float]:
    """Return the largest errors of a constant 1 (T1) and of coordinates (T2), in pixels."""
    import rasterio

    from cryonet.stitch import stitch

    worst = {"constant": 0.0, "coordinate": 0.0}
    for shape in SMALL:
        places = np.stack(np.mgrid[: shape[0], : shape[1]][np.arange(len(ways.LAYERS)) % 2])
        image = places.astype("float32")
        file = folder / f"{shape[0]}.tif"
        transform = rasterio.Affine(10, 0, 300000, 0, -10, 3300000)
        profile = {"driver": "GTiff", "dtype": "float32", "count": len(image), "height": shape[0],
                   "width": shape[1], "crs": "EPSG:32645", "transform": transform}  # fmt: skip
        with rasterio.open(file, "w", **profile) as target:
            target.write(image)
        wanted = {"constant": np.ones_like(image), "coordinate": image}
        for what, model in (("constant", _Ones()), ("coordinate", ways.Null())):
            if name == "cryonet":
                found = stitch(
                    lambda window, held=image: (
                        held[:, *window.slices],
                        np.ones((window.height, window.width), bool),
                    ),
                    lambda batch, run=model: run(torch.from_numpy(batch)).numpy(),
                    shape,
                    outputs=ways.CLASSES,
                    tile=ways.TILE,
                    overlap=ways.OVERLAP,
                )[0]
            else:
                found = ways.SWEEPS[name](file, model)
            gap = np.abs(found - wanted[what][: ways.CLASSES])
            worst[what] = max(worst[what], float(np.nan_to_num(gap, nan=np.inf).max()))
    return worst


def _ask(*words: str) -> dict[str, float]:
    run = subprocess.run(
        [sys.executable, "-W", "ignore", __file__, *words],
        env={**os.environ, "CRYONET_PREDICT": "1", "OMP_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode:
        raise SystemExit(run.stderr)
    found: dict[str, float] = json.loads(run.stdout.splitlines()[-1])
    return found


def _answer(words: list[str]) -> None:
    if words[0] == "errors":
        print(json.dumps(errors(words[1], Path(words[2]))))
    else:
        print(json.dumps(one_run(words[0], Path(words[1]), words[2], Path(words[3]))))


def main() -> None:
    """Let the programs take turns, and print a line of each."""
    if os.environ.get("CRYONET_PREDICT"):
        _answer(sys.argv[1:])
        return
    side, rounds, model = [*sys.argv[1:], *("8192", "3", "null model")[len(sys.argv) - 1 :]]
    names = ["cryonet", *(name for name in ways.SWEEPS if installed(ways.PACKAGES[name]))]
    found: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as folder:
        ways.make_scene_folder(Path(folder) / "small", 1024)
        scene = ways.make_scene_folder(Path(folder) / "scene", int(side))
        for turn in range(int(rounds)):
            first = turn % len(names)
            for name in names[first:] + names[:first]:
                out = Path(folder) / "out"
                found[name].append(_ask(name, str(scene), model, str(out)))
                shutil.rmtree(out)
        wrong = {name: _ask("errors", name, folder) for name in names}
    rows = {}
    for name in names:
        seconds = np.array([one["seconds"] for one in found[name]])
        ours = np.array([one["seconds"] for one in found["cryonet"]])
        rows[name] = {
            "Mpx/s": float(f"{int(side) ** 2 / np.median(seconds) / 1e6:.3g}"),
            "cryonet is": float(f"{np.median(seconds / ours):.3g}"),
            "peak GB": round(max(one["peak GB"] for one in found[name]), 2),
            **{f"{what} wrong by": float(f"{value:.2g}") for what, value in wrong[name].items()},
        }
        print(f"{name:18s}", *(f"{key} {value}" for key, value in rows[name].items()), sep="  ")
    absent = sorted(set(ways.SWEEPS) - set(names))
    keep(
        f"prediction file to file, {model}, {side}² x {len(ways.LAYERS)}",
        {"rounds": int(rounds), "programs": rows, "absent": absent},
    )


if __name__ == "__main__":
    main()
