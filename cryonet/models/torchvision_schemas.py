"""Let segmentation-models-pytorch import beside a torchvision that lacks its operators.

A CPU-only torch with a registry's torchvision fails on import, because torchvision looks
for two operators that its compiled part would have declared. Nothing here calls them.
Declaring their schemas first is enough; a torchvision that fits its torch declares them
itself, and then nothing is done.
"""

from __future__ import annotations

import importlib
from types import ModuleType

import torch

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
# A Library takes its declarations back when it is collected, so it is kept.
_declared: list[torch.library.Library] = []


def import_smp() -> ModuleType:
    """Return the module segmentation_models_pytorch, imported safely."""
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
        for schema in _SCHEMAS:
            library.define(schema)  # type: ignore[no-untyped-call]
        _declared.append(library)
    return importlib.import_module("segmentation_models_pytorch")
