"""Attribution to stages inside the network, which is not attribution to input layers.

Input layers are what a satellite or a terrain model measured. A stage is a step of the
network's encoder, and its attribution says at which scale, and where, the network found what
it went by. The two have types of their own so that neither is taken for the other.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import xarray as xr
from captum.attr import LayerGradCam, LayerIntegratedGradients
from odc.geo.xr import wrap_xr
from torch import Tensor, nn

from cryonet.bundle import Bundle
from cryonet.errors import ConfigError, GridError
from cryonet.explain.baselines import baseline_image
from cryonet.explain.encoder_stages import tapped
from cryonet.explain.evidence import Evidence, has_gradient
from cryonet.explain.question import Question
from cryonet.explain.task import PIXELS_AT_ONCE
from cryonet.explain.view import View
from cryonet.layers.windows import ReadPixels
from cryonet.progress import SILENT, Progress
from cryonet.runner import pick_device


@dataclass(frozen=True, slots=True)
class StageAttribution:
    """What the encoder stages of a network add to the evidence of a question.

    Attributes
    ----------
    question
        What was asked.
    method, baseline
        Names from `STAGE_METHODS` and `cryonet.explain.baselines.BASELINES`; Grad-CAM has no
        baseline, and an empty name.
    by_stage
        Signed sums over each stage's own pixels. What a stage tells goes on into the next
        ones, so that they do not add up to the evidence.
    maps
        ``(stage, y, x)`` float32 on the window's grid, enlarged bilinearly from the stage's
        own pixels, with coordinate ``stage``.
    seconds
        How long it took.
    """

    question: Question
    method: str
    baseline: str
    by_stage: dict[str, float]
    maps: xr.DataArray
    seconds: float
    attrs: dict[str, Any] = field(default_factory=dict)


def _grad_cam(
    evidence: Evidence, stage: nn.Module, image: Tensor, baseline: Tensor, steps: int
) -> Tensor:
    found: Tensor = LayerGradCam(evidence, stage).attribute(image)
    return found


def _integrated(
    evidence: Evidence, stage: nn.Module, image: Tensor, baseline: Tensor, steps: int
) -> Tensor:
    pixels = image.shape[-2] * image.shape[-1]
    found: Tensor = LayerIntegratedGradients(evidence, stage).attribute(
        image,
        baseline,
        n_steps=steps,
        internal_batch_size=max(1, PIXELS_AT_ONCE // pixels),
    )
    return found.sum(dim=1, keepdim=True)


_Run = Callable[[Evidence, nn.Module, Tensor, Tensor, int], Tensor]

#: Methods that look inside the network, by name: Captum's LayerGradCam (Selvaraju et al.
#: 2017), signed, and LayerIntegratedGradients, from the stage's values of the baseline.
STAGE_METHODS: Mapping[str, _Run] = MappingProxyType(
    {"stage grad-cam": _grad_cam, "stage integrated gradients": _integrated}
)


def explain_stages(
    bundle: Bundle,
    scene: xr.Dataset,
    question: Question,
    *,
    method: str = "stage grad-cam",
    baseline: str = "training mean",
    steps: int = 50,
    device: str = "cpu",
    read: ReadPixels | None = None,
    view: View | None = None,
    progress: Progress = SILENT,
) -> StageAttribution:
    """Say at which encoder stages, and where, a network found its evidence.

    Parameters
    ----------
    question, baseline, device, read, view
        As for `cryonet.explain.explain.explain`.
    method
        A name from `STAGE_METHODS`.
    steps
        Of integrated gradients.

    Raises
    ------
    ConfigError
        If the method is unknown, or the network has no gradient or no encoder.
    GridError, BundleError, CryonetError
        As `explain`.
    Cancelled
        From `progress`, between stages.
    """
    started = time.perf_counter()
    if method not in STAGE_METHODS:
        rule = f"Known: {', '.join(STAGE_METHODS)}."
        raise ConfigError("the method for stages is unknown", method, rule)
    if steps < 1:
        raise ConfigError("there are too few steps", steps, "Give 1 up.")
    architecture = bundle.manifest.model.architecture
    if not has_gradient(bundle.module):
        rule = "Occlusion and Shapley values explain it by its input layers."
        raise ConfigError("the model has no encoder stages", architecture, rule)
    where = pick_device(device)
    network = bundle.module.to(where).eval()
    manifest = bundle.manifest
    network, stages = tapped(network, layers=len(manifest.layers), side=manifest.tile)
    evidence = Evidence(network, question, manifest.classes).to(where)
    seen = view or View.of(bundle, scene, question.window, read=read)
    if seen.window != question.window:
        rule = "Ask the question in the view, or explain without it."
        raise GridError("the view is not of the question's window", seen.window, rule)
    image = torch.from_numpy(seen.image)[None].to(where)
    start = torch.from_numpy(baseline_image(seen, baseline))[None].to(where)
    maps = np.empty((len(stages), *seen.flags.shape), np.float32)
    by_stage: dict[str, float] = {}
    progress.step(0, len(stages), method)
    for number, (name, stage) in enumerate(stages.items()):
        found = STAGE_METHODS[method](evidence, stage, image, start, steps).detach()
        by_stage[name] = float(found.double().sum())
        maps[number] = _enlarged(found, seen.flags.shape)
        progress.step(number + 1, len(stages), method)
    placed = wrap_xr(maps, seen.geobox, axis=1, dims=("stage", "y", "x"))
    integrated = method == "stage integrated gradients"
    return StageAttribution(
        question=question,
        method=method,
        baseline=baseline if integrated else "",
        by_stage=by_stage,
        maps=placed.assign_coords(stage=list(stages)),
        seconds=time.perf_counter() - started,
        attrs={"device": str(where)} | ({"steps": steps} if integrated else {}),
    )


def _enlarged(found: Tensor, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """Return a stage's values on the pixels of the window, whose last rows may be padding."""
    height, width = found.shape[-2:]
    # The network saw the window filled up to a multiple: its stages reach as far.
    scale = max(-(-shape[0] // height), -(-shape[1] // width))
    large = F.interpolate(
        found.float(), (height * scale, width * scale), mode="bilinear", align_corners=False
    )
    values: np.ndarray[Any, Any] = large[0, 0, : shape[0], : shape[1]].cpu().numpy()
    return values
