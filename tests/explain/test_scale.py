"""T22: integrated gradients of a large window keep within a stated memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

DEMO = Path(__file__).resolve().parents[2] / "data/demo"

#: The data of a process may take so much, bytes; stated in the README.
LIMIT = 3 * 10**9

WORKER = """
import json, resource, sys
limit, bundle, batch = int(sys.argv[1]), sys.argv[2], int(sys.argv[3]) or None
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
import numpy as np, torch
from cryonet.bundle import load_bundle
from cryonet.explain.evidence import Evidence
from cryonet.explain.methods import METHODS
from cryonet.explain.question import Question
from cryonet.explain.task import Task
from cryonet.grid import Window
from cryonet.progress import SILENT
model = load_bundle(bundle)
layers = model.manifest.layers
asked = Question(Window(0, 0, 512, 512), np.full((512, 512), 512.0**-2), "debris")
image = torch.randn(1, len(layers), 512, 512, generator=torch.Generator().manual_seed(0)) / 4
task = Task(
    evidence=Evidence(model.module.eval(), asked, model.manifest.classes),
    image=image, baseline=torch.zeros_like(image),
    layers=tuple(layer.name for layer in layers),
    families=tuple(layer.family for layer in layers),
    steps=50, seed=0, batch=batch, progress=SILENT,
)
found = METHODS["integrated gradients"].run(task)
ends = task.values(np.array([[True] * len(layers), [False] * len(layers)]), "ends")
gap = abs(sum(found.by_layer.values()) / (ends[0] - ends[1]) - 1)
print(json.dumps({"layers": len(layers), "shape": found.maps.shape, "gap": float(gap)}))
"""


def explained(batch: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WORKER, str(LIMIT), str(DEMO / "bundle"), str(batch)],
        check=False, capture_output=True, text=True, timeout=1200,
        env={**os.environ, "OMP_NUM_THREADS": "2"},
    )  # fmt: skip


@pytest.mark.slow
def test_forty_layers_512_by_512_and_50_steps_fit_into_the_memory_that_is_stated() -> None:
    run = explained(batch=0)
    assert run.returncode == 0, run.stderr[-2000:]
    found = json.loads(run.stdout)
    assert found["layers"] >= 40 and found["shape"] == [found["layers"], 512, 512]
    assert found["gap"] <= 0.05


@pytest.mark.slow
def test_all_steps_at_once_would_not_fit() -> None:
    run = explained(batch=50)
    assert run.returncode != 0
    assert "memory" in run.stderr
