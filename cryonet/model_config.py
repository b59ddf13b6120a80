"""Which model is trained: a network, or a baseline of single pixels, as validated from TOML."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


#: Architectures whose decoder has one width; their encoders halve the image five times.
ONE_WIDTH = ("deeplabv3plus", "segformer")

#: Keys of a training run that networks alone read.
NETWORK_KEYS = (
    "pretrained",
    "augment",
    "epochs",
    "steps_per_epoch",
    "loss",
    "learning_rate",
    "weight_decay",
    "warmup_share",
    "clip_norm",
    "weight_average",
    "overlap",
    "devices",
    "precision",
    "start",
    "accumulate",
    "prefetch",
    "memory",
    "cache",
)


def _widths(given: dict[str, Any]) -> tuple[int, ...]:
    return (256,) if given.get("architecture") in ONE_WIDTH else (256, 128, 64, 32, 16)


class ModelConfig(_Frozen):
    """Architecture and encoder. `encoder` is any name segmentation-models-pytorch knows.

    `decoder_channels` are the widths of the decoder's stages, coarsest first. For ``cryonet``
    and ``unet`` there are three to five, as many as the times the encoder halves the image.
    ``deeplabv3plus`` and ``segformer`` have one width. If not given, they are the usual ones
    of the architecture: 256, 128, 64, 32, 16, or 256.
    `pixel_branch` is the width of a branch that looks at single pixels, beside any
    architecture; 0 leaves it out.
    """

    unread: ClassVar[tuple[str, ...]] = ()

    architecture: str = "cryonet"
    encoder: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.\-]+$")] = "resnet101"
    decoder_channels: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        default_factory=_widths, min_length=1, max_length=5
    )
    pixel_branch: Annotated[int, Field(ge=0, le=512)] = 0

    @model_validator(mode="after")
    def _channels(self) -> ModelConfig:
        count = len(self.decoder_channels)
        if self.architecture in ONE_WIDTH and count != 1:
            raise ValueError(f"the decoder of {self.architecture} has one width: give [256]")
        if self.architecture not in ONE_WIDTH and count < 3:
            raise ValueError(f"the decoder of {self.architecture} has three to five stages")
        # smp's scSE divides each channel count by 16.
        if self.architecture == "cryonet" and min(self.decoder_channels) < 16:
            raise ValueError("scSE attention needs at least 16 channels at every decoder stage")
        return self

    @property
    def title(self) -> str:
        """What it is, in a few words."""
        return f"{self.architecture} with encoder {self.encoder}"


class ForestConfig(_Frozen):
    """A random forest of single pixels, on the layers of `features`: a baseline.

    It learns from `samples` pixels, drawn from the training chips as these are drawn for a
    network. Trees have at most `leaves` leaves, each of at least `leaf_pixels` of the sample.
    Each split tries as many layers as the square root of their number. The numbers are our
    choice.
    """

    unread: ClassVar[tuple[str, ...]] = NETWORK_KEYS

    architecture: Literal["forest"]
    trees: Annotated[int, Field(ge=1, le=1000)] = 100
    leaves: Annotated[int, Field(ge=2, le=65_536)] = 1024
    leaf_pixels: Annotated[int, Field(ge=1)] = 5
    samples: Annotated[int, Field(ge=1)] = 100_000

    @property
    def nodes(self) -> int:
        """Most nodes of a tree: its leaves, and one fewer that part."""
        return 2 * self.leaves - 1

    @property
    def title(self) -> str:
        """What it is, in a few words."""
        return f"random forest of {self.trees} trees"


class ThresholdConfig(_Frozen):
    """Thresholds of a band ratio (or NDSI) and blue for clean ice, of NDWI for lakes: a baseline.

    The layers are its own, whatever `features` says.
    """

    unread: ClassVar[tuple[str, ...]] = (*NETWORK_KEYS, "features", "balance")

    architecture: Literal["threshold"]
    index: Literal["band_ratio", "ndsi"] = "band_ratio"

    def layer_names(self, classes: int) -> tuple[str, ...]:
        """Return the layers that it reads, without NDWI when lakes are no class."""
        return (self.index, "blue", "ndwi")[: 3 if classes > 3 else 2]

    @property
    def title(self) -> str:
        """What it is, in a few words."""
        return f"thresholds of {self.index} and blue"


#: Marks in the place of an error that say which of the models was meant; no key is one.
_TAGS = ("<network>", "<forest>", "<threshold>")


def _tag(model: object) -> str:
    named = model.get("architecture") if isinstance(model, dict) else model
    named = getattr(named, "architecture", named)
    return f"<{named}>" if named in ("forest", "threshold") else "<network>"


#: A model by its `architecture`: a network, or one of the baselines that see single pixels.
AnyModelConfig = Annotated[
    Annotated[ModelConfig, Tag("<network>")]
    | Annotated[ForestConfig, Tag("<forest>")]
    | Annotated[ThresholdConfig, Tag("<threshold>")],
    Discriminator(_tag),
]


def key_of(place: Sequence[int | str]) -> str:
    """Return the place of a validation error as the user wrote it: keys with dots between."""
    return ".".join(str(part) for part in place if part not in _TAGS)
