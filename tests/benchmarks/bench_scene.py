"""Prediction of a whole scene with the demo bundle's full stack, beside its bare network.

Run with ``python tests/benchmarks/bench_scene.py [ENCODER] [SIDE …]``. With an encoder, say
resnet18, the network is CryoNet with that encoder, random weights and windows of 256 pixels: the
demo bundle's is so small that layers and files weigh more than it. Each side runs in a process
of its own, which may hold 4 GB of data and no more. The scene is synthetic: the demo scene and
its mirror images, repeated, as files on disk. The bare network is timed before and after the
prediction: the same windows, batch and threads, one batch again and again from memory. Results
go to ``tests/benchmarks/results.json``.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.windows import Window as RasterWindow
from turns import keep

DEMO = Path(__file__).parents[2] / "data" / "demo"
LIMIT = 4 * 10**9
BATCH = 4
#: Windows that the bare network is timed on, before and after.
TIMED = 100


def make_scene_folder(folder: Path, side: int) -> Path:
    """Write the demo scene, mirrored and repeated to a side."""
    folder.mkdir()
    shutil.copy(DEMO / "scene" / "scene.json", folder)
    for file in sorted((DEMO / "scene").glob("*.tif")):
        if file.name == "labels.tif":
            continue
        with rasterio.open(file) as source:
            part = source.read()
            part = np.concatenate([part, part[:, ::-1]], axis=1)
            part = np.concatenate([part, part[:, :, ::-1]], axis=2)
            profile = source.profile | {
                "driver": "GTiff", "height": side, "width": side, "bigtiff": "YES",
                "blockxsize": 512, "blockysize": 512, "tiled": True, "zlevel": 1,
            }  # fmt: skip
            with rasterio.open(folder / file.name, "w", **profile) as target:
                target.descriptions, target.units = source.descriptions, source.units
                target.scales, target.offsets = source.scales, source.offsets
                target.update_tags(**source.tags())
                for top in range(0, side, 512):
                    rows = np.arange(top, min(top + 512, side)) % part.shape[1]
                    row = np.tile(part[:, rows], (1, 1, -(-side // part.shape[2])))[:, :, :side]
                    target.write(row, window=RasterWindow(0, top, side, len(rows)))
    item = json.loads((folder / "scene.json").read_text())
    item["assets"].pop("labels", None)
    (folder / "scene.json").write_text(json.dumps(item))
    return folder


def make_bundle(folder: Path, encoder: str) -> Path:
    """Save CryoNet with an encoder, random weights from a fixed seed, on the demo's layers."""
    from cryonet.bundle import Bundle, read_manifest, save_bundle, weights_bytes
    from cryonet.config import ModelConfig
    from cryonet.models import build_model, parameter_count

    demo = read_manifest(DEMO / "bundle")
    model = ModelConfig(encoder=encoder)
    module = build_model(model, layers=len(demo.layers), classes=len(demo.classes), seed=0).eval()
    told = {
        "model": model,
        "tile": 256,
        "parameters": parameter_count(module),
        "weights_sha256": hashlib.sha256(weights_bytes(module)).hexdigest(),
    }
    return save_bundle(Bundle(module, demo.model_copy(update=told)), folder)


def bare_seconds(folder: Path) -> float:
    """Return the seconds that the bare network takes for a window, in batches."""
    import torch

    from cryonet.bundle import load_bundle
    from cryonet.memory import keep_memory

    torch.set_num_threads(2)
    keep_memory()
    bundle = load_bundle(folder)
    side = bundle.manifest.tile
    image = torch.zeros(BATCH, len(bundle.manifest.layers), side, side)
    image = image.normal_(generator=torch.Generator().manual_seed(0))
    image = image.contiguous(memory_format=torch.channels_last)
    module = bundle.module.eval()
    with torch.inference_mode():
        module(image)
        started = time.perf_counter()
        for _ in range(0, TIMED, BATCH):
            module(image)
        return (time.perf_counter() - started) / TIMED


def predict(bundle: Path, scene: Path, out: Path) -> dict[str, float]:
    """Predict as the command line does; return seconds, windows and the peak."""
    started = time.perf_counter()
    resource.setrlimit(resource.RLIMIT_DATA, (LIMIT, LIMIT))
    import torch

    from cryonet.memory import keep_memory
    from cryonet.predict_workflow import run_prediction

    torch.set_num_threads(2)
    keep_memory()
    seen = _Count()
    run_prediction(bundle, scene, out, device="cpu", batch=BATCH, progress=seen)
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
    return {"seconds": round(seconds, 1), "windows": seen.windows, "peak GB": round(peak, 2)}


class _Count:
    windows = 0

    def step(self, done: int, total: int, message: str = "") -> None:
        if "predicting" in message:
            self.windows = total


def _ask(*words: Path) -> Any:
    run = subprocess.run(
        [sys.executable, "-W", "ignore", __file__, *map(str, words)],
        env={**os.environ, "CRYONET_SCENE": "1", "OMP_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode:
        raise SystemExit(run.stderr)
    return json.loads(run.stdout.splitlines()[-1])


def main() -> None:
    """Predict scenes of each side, and print a line of each."""
    if os.environ.get("CRYONET_SCENE"):
        places = list(map(Path, sys.argv[1:]))
        print(json.dumps(predict(*places) if len(places) > 1 else bare_seconds(*places)))
        return
    words = sys.argv[1:]
    encoder = words.pop(0) if words and not words[0].isdigit() else ""
    for side in map(int, words or ("2048", "10980")):
        with tempfile.TemporaryDirectory() as folder:
            bundle = make_bundle(Path(folder) / "bundle", encoder) if encoder else DEMO / "bundle"
            scene = make_scene_folder(Path(folder) / "scene", side)
            before = _ask(bundle)
            found = _ask(bundle, scene, Path(folder) / "map")
            bare = (before + _ask(bundle)) / 2
        share = bare * found["windows"] / found["seconds"]
        found["of the bare network's speed"] = round(share, 3)
        print(f"{side}²", *(f"{key} {value}" for key, value in found.items()), sep="  ")
        keep(f"prediction of a scene, {encoder or 'demo bundle'}, 48 layers, {side}²", found)


if __name__ == "__main__":
    main()
