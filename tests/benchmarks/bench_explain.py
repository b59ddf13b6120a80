"""Explanations of the demo's debris, beside Captum called plainly on the same tensors.

Run with ``python tests/benchmarks/bench_explain.py [SIDE] [ROUNDS]``, with ``wait`` for the
seconds that a user waits, and with ``peak`` for the memory of integrated gradients of 50 steps
on 512², each program in a process of its own, and what it held before. Captum has no bounded
memory by default: its plain call puts all steps through the network at once. It has no exact
Shapley values that are done in an hour, so it samples as many evaluations as the exact take.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import turns

from cryonet.bundle import load_bundle
from cryonet.explain.evidence import Evidence
from cryonet.explain.explain import explain
from cryonet.explain.methods import METHODS
from cryonet.explain.question import Question
from cryonet.explain.questions import at_pixel
from cryonet.explain.task import Task
from cryonet.explain.view import View
from cryonet.grid import Window
from cryonet.scene import open_scene

DEMO = Path(__file__).resolve().parents[2] / "data/demo"
STEPS = 32


def task_of(side: int, steps: int) -> Task:
    """Return the task of all pixels of a window of the demo, from the training mean."""
    bundle, scene = load_bundle(DEMO / "bundle"), open_scene(DEMO / "scene")
    height = int(scene.sizes["y"])
    held = View.of(bundle, scene, Window(0, 0, min(side, height), min(side, height)))
    times = -(-side // height)
    image = np.tile(held.image, (1, times, times))[:, :side, :side]
    weights = np.full((side, side), side**-2.0)
    question = Question(Window(0, 0, side, side), weights, "debris")
    given = torch.from_numpy(image)[None].contiguous(memory_format=torch.channels_last)
    evidence = Evidence(bundle.module, question, bundle.manifest.classes)
    return Task(
        evidence, given, torch.zeros_like(given), held.layers, held.families, steps=steps
    )  # fmt: skip


def families(task: Task) -> torch.Tensor:
    """Return the groups of layers as Captum takes them."""
    order = list(dict.fromkeys(task.families))
    return torch.tensor([order.index(name) for name in task.families])[None, :, None, None]


def captum_path(task: Task, at_once: int | None) -> object:
    """Integrate gradients with Captum."""
    from captum.attr import IntegratedGradients

    return IntegratedGradients(task.evidence).attribute(
        task.image, task.baseline, n_steps=task.steps, internal_batch_size=at_once
    )


def captum_occlusion(task: Task) -> object:
    """Put families to the baseline with Captum."""
    from captum.attr import FeatureAblation

    with torch.inference_mode():
        return FeatureAblation(task.evidence).attribute(
            task.image, task.baseline, feature_mask=families(task)
        )


def captum_shapley(task: Task) -> object:
    """Sample 256 evaluations' worth of Shapley values of families with Captum."""
    from captum.attr import ShapleyValueSampling

    with torch.inference_mode():
        return ShapleyValueSampling(task.evidence).attribute(
            task.image, task.baseline, feature_mask=families(task), n_samples=32
        )


def tasks(side: int) -> turns.Tasks:
    """Return the jobs of one side; what is counted are pixels by evaluations."""
    torch.set_num_threads(2)
    task = task_of(side, STEPS)
    pixels = float(side * side)
    ours = {name: METHODS[name].run for name in METHODS}
    plain = (lambda: captum_path(task, None)) if side <= 128 else None
    jobs: dict[str, dict[str, tuple[Callable[[], object] | None, float]]] = {
        f"integrated gradients, {STEPS} steps": {
            "cryonet": (lambda: ours["integrated gradients"](task), pixels * STEPS),
            "captum, batches of 8 steps": (lambda: captum_path(task, 8), pixels * STEPS),
            "captum, plainly": (plain, pixels * STEPS),
        },
        "occlusion of 8 families": {
            "cryonet": (lambda: ours["family occlusion"](task), pixels * 9),
            "captum": (lambda: captum_occlusion(task), pixels * 9),
        },
    }
    if side <= 128:
        jobs["Shapley values of 8 families, 256 evaluations"] = {
            "cryonet": (lambda: ours["family shapley"](task), pixels * 256),
            "captum, sampled": (lambda: captum_shapley(task), pixels * 256),
        }
    return jobs


def wait() -> None:
    """Time what a user waits for, layers and all, and keep it."""
    torch.set_num_threads(2)
    bundle, scene = load_bundle(DEMO / "bundle"), open_scene(DEMO / "scene").load()
    tile = Window(64, 64, 256, 256)
    square = Question(tile, np.full((256, 256), 256**-2.0), "debris", label="debris of a tile")
    pixel = at_pixel(bundle, scene, 131, 157)
    rows = {}
    for label, question, method, steps in (
        ("pixel, exact family Shapley values", pixel, "family shapley", None),
        ("pixel, integrated gradients, 32 steps", pixel, "integrated gradients", 32),
        ("256², family occlusion", square, "family occlusion", None),
        ("256², integrated gradients, 32 steps", square, "integrated gradients", 32),
    ):
        spent = []
        for _ in range(4):
            begin = time.perf_counter()
            found = explain(bundle, scene, question, method=method, steps=steps)
            spent.append(time.perf_counter() - begin)
        rows[label] = {"seconds": round(float(np.median(spent[1:])), 3)}
        if METHODS[method].complete:
            rows[label]["gap"] = float(f"{found.gap:.2g}")
        print(f"  {label:50s} {rows[label]}", flush=True)
    turns.keep("explanations of the demo, two threads", {"rounds": 3, "tasks": rows})


def peak() -> None:
    """Measure the memory of integrated gradients, 48 layers, 512², 50 steps (T22)."""
    rows = {}
    for name in ("cryonet", "captum, batches of 1 step"):
        run = subprocess.run(
            [sys.executable, "-W", "ignore", __file__, "peak", name],
            env={**os.environ, "OMP_NUM_THREADS": "2"}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if run.returncode:
            raise SystemExit(run.stderr)
        rows[name] = json.loads(run.stdout.splitlines()[-1])
        print(f"  {name:30s} {rows[name]}", flush=True)
    turns.keep("integrated gradients, 48 layers, 512², 50 steps, memory", {"programs": rows})


def _peak_of(name: str) -> None:
    torch.set_num_threads(2)
    task = task_of(512, 50)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    begin = time.perf_counter()
    if name == "cryonet":
        METHODS["integrated gradients"].run(task)
    else:
        captum_path(task, 1)
    spent = time.perf_counter() - begin
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    found = {"peak GB": round(after, 2), "before GB": round(before, 2), "seconds": round(spent, 1)}
    print(json.dumps(found))


if __name__ == "__main__":
    if sys.argv[1:2] == ["peak"]:
        _peak_of(sys.argv[2]) if sys.argv[2:] else peak()
    elif sys.argv[1:2] == ["wait"]:
        wait()
    else:
        turns.start(tasks, sides=(128, 256), rounds=3, threads=2)
