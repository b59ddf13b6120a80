"""Manifest: all that must be known of a model to use it, validated."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from cryonet.classes import CLASSES
from cryonet.layers import LAYERS, Fits
from cryonet.layers.spec import Direction, Family, LayerSpec
from cryonet.measured import Measured
from cryonet.model_config import AnyModelConfig
from cryonet.normalise import LayerStatistics


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LayerEntry(_Frozen):
    """One input channel: which layer it is and how it is normalised."""

    name: str
    family: Family
    units: str
    direction: Direction
    vector: str
    statistics: LayerStatistics

    @classmethod
    def of(cls, spec: LayerSpec, statistics: LayerStatistics) -> LayerEntry:
        """Return the entry of a layer with its fitted statistics."""
        return cls(
            name=spec.name,
            family=spec.family,
            units=spec.units,
            direction=spec.direction,
            vector=spec.vector,
            statistics=statistics,
        )


class SceneRecord(_Frozen):
    """A scene used in training: its id, a hash over its arrays, and where they came from.

    `datetime` is empty where the scene states none; `bbox` is west, south, east, north in
    degrees, None in manifests from before it was kept.
    """

    id: str
    sha256: str
    synthetic: bool
    datetime: str = ""
    bbox: tuple[float, float, float, float] | None = None


class PretrainedRecord(_Frozen):
    """What the encoder started from: which weights with their hash, on which layers.

    `random` are tensors that the source lacks, of modules that the encoder never calls;
    `unused` counts the tensors of the source that had no place.
    """

    source: str
    sha256: str
    bands: tuple[str, ...]
    first_layer: str
    tensors: int
    unused: int
    random: tuple[str, ...]


class ThroughputRecord(_Frozen):
    """How fast training saw chips, validation left out, all processes together.

    `waiting_share` is the share of the time in which the first process waited for chips.
    """

    chips_per_second: Annotated[float, Field(ge=0)]
    megapixels_per_second: Annotated[float, Field(ge=0)]
    waiting_share: Annotated[float, Field(ge=0, le=1)]


class StartRecord(_Frozen):
    """The bundle that training started from: its title, the hash of its weights, its scenes.

    `statistics` says whether the layers are normalised as that bundle did it, or by
    statistics of this training's own scenes. `scenes` are all that had formed its weights.
    """

    title: str
    weights_sha256: str
    statistics: Literal["bundle", "scenes"]
    scenes: tuple[SceneRecord, ...]


class TrainingRecord(_Frozen):
    """How the weights came to be, complete enough to make them again.

    Without `pretrained` and `start` they started at random. Older bundles have no `throughput`.
    """

    config: dict[str, Any]
    pretrained: PretrainedRecord | None = None
    start: StartRecord | None = None
    seed: int
    scenes: tuple[SceneRecord, ...]
    epoch: int
    epochs: int
    interrupted: bool
    seconds: float
    device: str
    versions: dict[str, str]
    metrics: dict[str, dict[str, float | None]]
    throughput: ThroughputRecord | None = None


class Calibration(_Frozen):
    """The temperature of the probabilities and how it was fitted; see `cryonet.calibrate`.

    Errors before and after are those of the pixels it was fitted on: `ece` over the class
    of the map, `classwise_ece` the mean over the classes, both of `bins` bins.
    """

    temperature: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    split: Literal["validation"]
    pixels: Annotated[int, Field(ge=1)]
    bins: Annotated[int, Field(ge=1)]
    nll_before: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    nll_after: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    ece_before: Annotated[float, Field(ge=0, le=1)]
    ece_after: Annotated[float, Field(ge=0, le=1)]
    classwise_ece_before: Annotated[float, Field(ge=0, le=1)]
    classwise_ece_after: Annotated[float, Field(ge=0, le=1)]

    @model_validator(mode="after")
    def _better(self) -> Calibration:
        # The temperature minimises it, and 1 is among those tried: it cannot have made it worse.
        if self.nll_after > self.nll_before * (1 + 1e-6) + 1e-6:
            raise ValueError("the calibration must not raise the negative log-likelihood")
        return self


class Manifest(_Frozen):
    """The description of a bundle. Channels stand in order; classes by code.

    Format 2 may hold a calibration; format 1 has none. `adapted_to` are the scenes that the
    statistics were fitted to anew, without labels, after training. `optional_families` are
    the groups of families, missing together, that the model was trained to do without.
    `measured` is what `cryonet card` found on labelled scenes.
    """

    format: Literal["cryonet-bundle/1", "cryonet-bundle/2"] = "cryonet-bundle/2"
    title: str
    created: str
    model: AnyModelConfig
    layers: Annotated[tuple[LayerEntry, ...], Field(min_length=1)]
    fits: Fits = Fits()
    classes: Annotated[tuple[str, ...], Field(min_length=2)]
    resolution: Annotated[float, Field(gt=0)]
    resolution_tolerance: Annotated[float, Field(ge=0, lt=1)] = 0.1
    tile: Annotated[int, Field(ge=32, multiple_of=32)]
    overlap: Annotated[float, Field(ge=0, le=0.5)]
    parameters: int
    weights_sha256: str
    training: TrainingRecord
    calibration: Calibration | None = None
    adapted_to: tuple[SceneRecord, ...] = ()
    optional_families: tuple[Annotated[tuple[Family, ...], Field(min_length=1)], ...] = ()
    measured: Measured | None = None

    @model_validator(mode="after")
    def _families(self) -> Manifest:
        named = [family for group in self.optional_families for family in group]
        held = {layer.family for layer in self.layers}
        if named and self.format == "cryonet-bundle/1":
            raise ValueError("a bundle of format 1 has no optional families")
        if len(set(named)) < len(named) or not set(named) <= held:
            raise ValueError("optional families are families of its layers, each once")
        if named and held <= set(named):
            raise ValueError("one family at least is not optional")
        return self

    @model_validator(mode="after")
    def _consistent(self) -> Manifest:
        if self.format == "cryonet-bundle/1" and self.calibration is not None:
            raise ValueError("a bundle of format 1 has no calibration")
        order = [c.name for c in CLASSES]
        if list(self.classes) != order[: len(self.classes)]:
            raise ValueError(f"classes must be the first of {order}, in that order")
        names = [layer.name for layer in self.layers]
        if len(set(names)) != len(names):
            raise ValueError("a layer is named twice")
        for name in names:
            fit = LAYERS[name].fit if name in LAYERS else ""
            if fit and fit not in self.fits.names:
                raise ValueError(f"layer {name} needs a fit of {fit}, which is missing")
        return self

    @property
    def layer_names(self) -> tuple[str, ...]:
        """Names of the input channels, in order."""
        return tuple(layer.name for layer in self.layers)

    @property
    def statistics(self) -> tuple[LayerStatistics, ...]:
        """Statistics of the input channels, in order."""
        return tuple(layer.statistics for layer in self.layers)

    @property
    def families(self) -> tuple[Family, ...]:
        """The families of its layers, in their order."""
        return tuple(dict.fromkeys(layer.family for layer in self.layers))

    @property
    def temperature(self) -> float:
        """The temperature of its probabilities; 1, which changes nothing, without one."""
        return 1.0 if self.calibration is None else self.calibration.temperature

    @property
    def synthetic(self) -> bool:
        """Whether any training scene was synthetic, of this training or of its start."""
        start = self.training.start
        scenes = (*self.training.scenes, *(start.scenes if start else ()))
        return any(scene.synthetic for scene in scenes)
