"""Trains with several processes as a script would; each writes what it saw and has.

Run as ``python two_process_worker.py SETTINGS``, a JSON file with the configuration, the
folder ``notes``, and ``fail``: the rank that is to fail at its third batch, or null.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import torch
from torch import nn

import cryonet.train
from cryonet.batches import draw_batch
from cryonet.bundle import weights_bytes
from cryonet.config import parse_config
from cryonet.progress import Cancelled
from cryonet.rank import is_first_process
from cryonet.scene import open_scene


def plain(config: object, *, layers: int, classes: int, seed: int = 0) -> nn.Module:
    """A network without batch statistics: what it learns hangs on the sum of chips alone."""
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(layers, 8, 3, padding=1), nn.GELU(), nn.Conv2d(8, classes, 1))


def main() -> None:
    told = json.loads(Path(sys.argv[1]).read_text())
    config = parse_config(told["config"])
    rank = 0 if is_first_process() else 1
    notes: dict[str, object] = {"chips": [], "best": 0, "log": 0, "steps": 0}

    def seen(data, config, numbers):
        if told["fail"] == rank and len(notes["chips"]) >= 2 * config.batch:
            raise RuntimeError("this process was told to fail")
        images, labels = draw_batch(data, config, numbers)
        for number, image, label in zip(numbers, images, labels, strict=True):
            digest = hashlib.sha256(image.numpy().tobytes() + label.numpy().tobytes())
            notes["chips"].append([number, digest.hexdigest()])
        return images, labels

    class Told:
        def step(self, done, total, message=""):
            notes["steps"] += 1
            if told["stop"] == done:
                raise Cancelled

    def count(name: str) -> None:
        notes[name] += 1

    cryonet.train.draw_batch = seen
    if told["plain"]:
        cryonet.train.build_model = plain
    bundle = cryonet.train.train(
        [open_scene(path) for path in config.scenes],
        config,
        on_best=lambda best: count("best"),
        log=lambda epoch, figures: count("log"),
        progress=Told(),
    )
    notes["weights"] = hashlib.sha256(weights_bytes(bundle.module)).hexdigest()
    notes["values"] = torch.cat([p.detach().flatten() for p in bundle.module.parameters()]).tolist()
    notes["interrupted"] = bundle.manifest.training.interrupted
    notes["metrics"] = bundle.manifest.training.metrics["validation"]
    notes["calibration"] = bundle.manifest.calibration.model_dump()
    Path(told["notes"], f"{rank}.json").write_text(json.dumps(notes))


if __name__ == "__main__":
    main()
