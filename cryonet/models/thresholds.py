"""Thresholds: clean ice by a band ratio or NDSI, lakes by NDWI, pixel by pixel."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from cryonet.errors import ConfigError
from cryonet.model_config import ThresholdConfig

#: Of the logits of the class that is mapped and of any other: one and nothing in float32.
_GAP = 30.0


class Thresholds(nn.Module):
    """The rule by which glaciologists map clean ice (Paul et al. 2016).

    A pixel is a glacial lake where NDWI is at least `water`; otherwise clean ice where the
    index (red / swir16, or NDSI) is at least `ice` and blue, which tells ice in shade from rock
    in shade, at least `blue`; otherwise other ground. Debris-covered ice is never mapped: to
    these indices it is rock, and that is the point of the comparison. Lakes come first, as
    water has the ratio of ice.

    Layers are the index, ``blue`` and, with lakes, ``ndwi``, in their own units.
    """

    ice: Tensor
    blue: Tensor
    water: Tensor

    def __init__(self, config: ThresholdConfig, layers: int, classes: int) -> None:
        super().__init__()
        wanted = config.layer_names(classes)
        if layers != len(wanted):
            rule = f"It reads {', '.join(wanted)}."
            raise ConfigError("the thresholds do not fit the layers", layers, rule)
        self.classes = classes
        for name in ("ice", "blue", "water")[:layers]:
            self.register_buffer(name, torch.zeros(()))

    def forward(self, image: Tensor) -> Tensor:
        """Return logits ``(batch, class, y, x)`` for layers ``(batch, layer, y, x)``."""
        codes = ((image[:, 0] >= self.ice) & (image[:, 1] >= self.blue)).long()
        if image.shape[1] == 3:
            codes = torch.where(image[:, 2] >= self.water, 3, codes)
        shares = nn.functional.one_hot(codes, self.classes).permute(0, 3, 1, 2)
        return _GAP * shares.float()
