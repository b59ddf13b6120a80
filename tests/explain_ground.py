"""What tests of explanations stand on: small networks of known make, and their tasks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from test_missing_families import full_scene, mixing_bundle
from torch import nn

from cryonet.explain.baselines import baseline_image
from cryonet.explain.evidence import Evidence
from cryonet.explain.questions import at_pixel
from cryonet.explain.task import Task
from cryonet.explain.view import View


def small_network(layers=7, classes=3, seed=3, kernel=3):
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(layers, 8, kernel, padding=kernel // 2), nn.Softplus(),
        nn.Conv2d(8, classes, kernel, padding=kernel // 2),
    ).eval()  # fmt: skip


def small_bundle(**options):
    """A smooth network that sees all seven layers of four families, in tiles of 32."""
    bundle = mixing_bundle()
    manifest = bundle.manifest.model_copy(update={"tile": 32})
    return replace(bundle, module=small_network(**options), manifest=manifest)


def small_scene(lost=(), height=60, width=70, **changes):
    scene = full_scene(height, width)
    labels = np.zeros((height, width), np.uint8)
    labels[:, 20:] = 1
    labels[30:, 40:] = 2
    scene["labels"] = (("y", "x"), labels)
    return scene.assign(changes).drop_vars(list(lost))


def task_of(bundle, scene, question=None, baseline="training mean", **options):
    question = question or at_pixel(bundle, scene, 20, 30)
    view = View.of(bundle, scene, question.window)
    return Task(
        evidence=Evidence(bundle.module, question, bundle.manifest.classes),
        image=torch.from_numpy(view.image)[None],
        baseline=torch.from_numpy(baseline_image(view, baseline))[None],
        layers=view.layers, families=view.families, **options,
    )  # fmt: skip
