"""From a bundle, a scene and a question to an attribution."""

from __future__ import annotations

import time

import numpy as np
import torch
import xarray as xr
from odc.geo.xr import wrap_xr

from cryonet.bundle import Bundle
from cryonet.errors import ConfigError, GridError
from cryonet.explain.attribution import Attribution
from cryonet.explain.baselines import BASELINES, baseline_image
from cryonet.explain.evidence import Evidence, has_gradient
from cryonet.explain.methods import METHODS, Method
from cryonet.explain.question import Question
from cryonet.explain.task import Task
from cryonet.explain.view import View
from cryonet.layers.windows import ReadPixels
from cryonet.progress import SILENT, Progress
from cryonet.runner import pick_device


def explain(
    bundle: Bundle,
    scene: xr.Dataset,
    question: Question,
    *,
    method: str = "integrated gradients",
    baseline: str = "training mean",
    steps: int | None = None,
    seed: int = 0,
    batch: int | None = None,
    device: str = "cpu",
    read: ReadPixels | None = None,
    view: View | None = None,
    progress: Progress = SILENT,
) -> Attribution:
    """Say what each layer or family adds to the evidence of a question.

    Layers are computed once, the network sees the question's window as a whole, and memory
    holds an internal batch for each thread, whatever the number of steps.

    Parameters
    ----------
    question
        From `cryonet.explain.questions`.
    method, baseline
        Names from `METHODS` and `BASELINES`.
    steps
        Nodes of integrated gradients, or permutations of sampled Shapley values; the
        method's own by default.
    seed
        Of the permutations.
    batch
        Images that a thread puts through the network at once; by default as many as make
        2^17 pixels. On CPUs there are as many threads as torch has.
    device
        As for `cryonet.runner.pick_device`.
    read
        As for `cryonet.layers.LayerWindows`.
    view
        Of the question's window, if it is at hand: the layers are then not computed again.

    Returns
    -------
    What was missing from the scene, or filled, explains exactly nothing. `attrs` say how it
    was done.

    Raises
    ------
    ConfigError
        If the method, baseline, device or class is unknown, a number out of range, or the
        method needs a gradient that the model has not.
    GridError, BundleError, CryonetError
        If the window, the scene or the baseline cannot be had.
    Cancelled
        From `progress`.
    """
    started = time.perf_counter()
    chosen = _method(method, bundle)
    count = _steps(chosen, steps)
    if batch is not None and batch < 1:
        raise ConfigError("the batch is too small", batch, "Give 1 up.")
    if baseline not in BASELINES:
        raise ConfigError("the baseline is unknown", baseline, f"Known: {', '.join(BASELINES)}.")
    where = pick_device(device)
    network = bundle.module.to(where).eval()
    evidence = Evidence(network, question, bundle.manifest.classes).to(where)
    seen = view or View.of(bundle, scene, question.window, read=read)
    if seen.window != question.window:
        rule = "Ask the question in the view, or explain without it."
        raise GridError("the view is not of the question's window", seen.window, rule)
    task = Task(
        evidence=evidence,
        image=torch.from_numpy(seen.image)[None].to(where),
        baseline=torch.from_numpy(baseline_image(seen, baseline))[None].to(where),
        layers=seen.layers,
        families=seen.families,
        steps=count,
        seed=seed,
        batch=batch,
        progress=progress,
    )
    answer = chosen.run(task)
    ends = np.array([np.ones(len(seen.layers), bool), np.zeros(len(seen.layers), bool)])
    value, base = task.values(ends, "value and baseline")
    maps = None
    if answer.maps is not None:
        maps = wrap_xr(answer.maps, seen.geobox, axis=1, dims=("layer", "y", "x"))
        maps = maps.assign_coords(layer=list(seen.layers)).assign_attrs(units="log-odds")
    attrs = answer.attrs | {
        "baseline_meaning": BASELINES[baseline].meaning,
        "method_meaning": chosen.meaning,
        "device": str(where),
        "batch": task.at_once,
        "missing_families": list(seen.missing),
        "filled_pixels": seen.filled,
        "synthetic": bool(scene.attrs.get("synthetic", False)),
    }
    return Attribution(
        question=question,
        method=method,
        baseline=baseline,
        layers=seen.layers,
        families=seen.families,
        by_layer=answer.by_layer,
        by_family=answer.by_family,
        maps=maps,
        value=float(value),
        base=float(base),
        seconds=time.perf_counter() - started,
        attrs=attrs,
    )


def _method(name: str, bundle: Bundle) -> Method:
    if name not in METHODS:
        raise ConfigError("the method is unknown", name, f"Known: {', '.join(METHODS)}.")
    if METHODS[name].gradient and not has_gradient(bundle.module):
        others = ", ".join(row.name for row in METHODS.values() if not row.gradient)
        raise ConfigError(
            f"a {bundle.manifest.model.architecture} has no gradient", name, f"Take {others}."
        )
    return METHODS[name]


def _steps(method: Method, steps: int | None) -> int:
    if steps is None:
        return method.steps
    if method.steps == 0:
        raise ConfigError(f"{method.name} has no steps", steps, "Leave them out.")
    if steps < 1:
        raise ConfigError("there are too few steps", steps, "Give 1 up.")
    return steps
