"""What a user configures, as validated and frozen models read from TOML."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from cryonet.errors import ConfigError
from cryonet.model_config import AnyModelConfig, ModelConfig, ThresholdConfig, key_of


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class FeatureConfig(_Frozen):
    """Which layers the model sees: the name of a stack, or layer names in order."""

    stack: str | tuple[str, ...] = "full"


class SplitConfig(_Frozen):
    """How the pixels of a scene are shared between training, validation and test.

    `test` holds out one side of the scene; `validation` is a share of square blocks drawn
    at random from the rest, of side `validation_block` (`block` when None): many small ones
    are more likely to hold every class than a few large ones. `gap` pixels round every test
    area and `validation_gap` pixels round every validation block (`gap` when None) belong to
    no split. Below one chip of gap, a training chip may show pixels of a validation area,
    never its labels; test pixels are in no training chip, whatever the gap.
    """

    test: Literal["none", "west", "east", "north", "south", "blocks"] = "blocks"
    test_share: Annotated[float, Field(gt=0, lt=0.9)] = 0.25
    validation_share: Annotated[float, Field(gt=0, lt=0.9)] = 0.15
    block: Annotated[int, Field(ge=8)] = 128
    gap: Annotated[int, Field(ge=0)] = 128
    validation_block: Annotated[int | None, Field(ge=8)] = None
    validation_gap: Annotated[int | None, Field(ge=0)] = None


class PretrainedConfig(_Frozen):
    """Where the encoder's first weights come from, and how they meet the layers.

    `source` is ``none``; or the path of a ``.safetensors``, ``.pth`` or ``.pt`` file; or
    ``ukis-csmask``, an installed package; or ``download``, which alone uses the network.
    `variant` picks one of several weights: ``6b_l2a`` (when empty), ``6b_l1c``, ``4b_l2a``
    or ``4b_l1c`` of ukis-csmask; of a download a name segmentation-models-pytorch knows,
    ``imagenet`` when empty.
    `bands` names the layers that a file's first filters stand for, in their order: red,
    green and blue when empty. The other sources know their own.
    `first_layer` says what the layers beside those bands start with.
    """

    source: str = "none"
    variant: str = ""
    bands: tuple[str, ...] = ()
    first_layer: Literal["cyclic", "rgb+mean", "zero-extra"] = "zero-extra"

    @model_validator(mode="after")
    def _fits_together(self) -> PretrainedConfig:
        named = self.source in ("none", "ukis-csmask", "download")
        if not named and Path(self.source).suffix not in (".safetensors", ".pth", ".pt"):
            raise ValueError(
                "source is none, ukis-csmask, download, or a .safetensors, .pth or .pt file"
            )
        if self.variant and self.source not in ("ukis-csmask", "download"):
            raise ValueError("variant belongs to ukis-csmask and download")
        if self.bands and named:
            raise ValueError("bands belong to a file; the other sources know their own")
        if len(set(self.bands)) < len(self.bands):
            raise ValueError("a band is named twice")
        return self

    @property
    def file(self) -> Path | None:
        """The file of the weights, if the source is one."""
        return Path(self.source) if Path(self.source).suffix else None

    def placed(self, base: Path) -> PretrainedConfig:
        """Return it with a relative file taken from the folder `base`."""
        return self.model_copy(update={"source": str(base / self.file)}) if self.file else self


class StartConfig(_Frozen):
    """A bundle whose weights a run starts from; none when `bundle` is empty.

    `bundle` is its folder. Layers, model and classes must be the bundle's.
    With `statistics` ``bundle`` the layers are normalised as the bundle does it; with
    ``scenes`` by statistics of the run's own scenes, without their labels and test pixels.
    """

    bundle: str = ""
    statistics: Literal["bundle", "scenes"] = "bundle"


#: Families a user may lack: made of other inputs than the bands. Functions of the bands are
#: there whenever the bands are.
Droppable = Literal["terrain", "coherence", "phase"]


class AugmentConfig(_Frozen):
    """Flips and rotations, zoom, small changes of brightness, and families left out.

    `zoom` is the largest change of scale, as a natural logarithm: at 0.4 a chip shows from
    0.67 to 1.49 of its usual side, resampled to it.
    `gain` and `shift` are standard deviations, in units of a layer's own standard
    deviation, of a factor and an addend shared by all spectral layers; each layer moves by
    a third of that on its own besides.
    `family_dropout` is the probability with which each group of `families` is left out of a
    chip, on its own: its layers become the training mean. A model trained so can do without
    those families. Those in one group go missing together, as coherence and phase do; a name
    on its own is a group. Families of which the model has no layer are passed over.
    """

    dihedral: bool = True
    zoom: Annotated[float, Field(ge=0, le=1)] = 0.0
    gain: Annotated[float, Field(ge=0, le=1)] = 0.1
    shift: Annotated[float, Field(ge=0, le=1)] = 0.1
    family_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    families: Annotated[
        tuple[Annotated[tuple[Droppable, ...], Field(min_length=1)], ...], Field(min_length=1)
    ] = (("coherence", "phase"), ("terrain",))

    @field_validator("families", mode="before")
    @classmethod
    def _groups(cls, given: object) -> object:
        if not isinstance(given, (list, tuple)):
            return given
        return [[group] if isinstance(group, str) else group for group in given]

    @model_validator(mode="after")
    def _once(self) -> AugmentConfig:
        named = [family for group in self.families for family in group]
        if len(set(named)) < len(named):
            raise ValueError("a family is named twice")
        return self


class TrainConfig(_Frozen):
    """One training run. Every default is our choice; the paper states none of them."""

    scenes: Annotated[tuple[Path, ...], Field(min_length=1)]
    out: Path
    title: str = "CryoNet"
    features: FeatureConfig = FeatureConfig()
    split: SplitConfig = SplitConfig()
    model: AnyModelConfig = ModelConfig()
    pretrained: PretrainedConfig = PretrainedConfig()
    start: StartConfig = StartConfig()
    augment: AugmentConfig = AugmentConfig()
    classes: Annotated[tuple[str, ...], Field(min_length=2)] = (
        "other",
        "clean_ice",
        "debris",
        "lake",
    )
    chip: Annotated[int, Field(ge=32, multiple_of=32)] = 256
    stride: Annotated[int, Field(ge=1)] = 64
    balance: Annotated[float, Field(ge=0, le=1)] = 0.5
    batch: Annotated[int, Field(ge=2)] = 8
    accumulate: Annotated[int, Field(ge=1)] = 1
    epochs: Annotated[int, Field(ge=1)] = 30
    steps_per_epoch: Annotated[int, Field(ge=1)] = 100
    loss: str = "ce_dice"
    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    weight_decay: Annotated[float, Field(ge=0)] = 1e-2
    warmup_share: Annotated[float, Field(ge=0, lt=1)] = 0.05
    clip_norm: Annotated[float, Field(gt=0)] = 1.0
    weight_average: Annotated[float, Field(ge=0, lt=1)] = 0.99
    tile: Annotated[int, Field(ge=32, multiple_of=32)] = 256
    overlap: Annotated[float, Field(ge=0, le=0.5)] = 0.25
    seed: int = 0
    accelerator: Literal["auto", "cpu", "cuda"] = "auto"
    devices: Annotated[int, Field(ge=1)] = 1
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "32-true"
    threads: Annotated[int, Field(ge=0)] = 0
    prefetch: Annotated[int, Field(ge=0)] = 2
    memory: Literal["ram", "disk"] = "ram"
    cache: Path | None = None

    @model_validator(mode="after")
    def _stride(self) -> TrainConfig:
        if self.stride > self.chip:
            raise ValueError("stride above chip would leave pixels that are in no chip")
        if self.cache is not None and self.memory == "ram":
            raise ValueError('cache is a folder for memory = "disk"')
        return self

    @model_validator(mode="after")
    def _read(self) -> TrainConfig:
        own = self.settled()
        for key in self.model.unread:
            default = type(self).model_fields[key].default
            if getattr(self, key) not in (default, getattr(own, key)):
                raise ValueError(f"{key} has no effect on {self.model.title}: leave it out")
        return self

    def settled(self) -> TrainConfig:
        """Return the configuration as its model uses it; a network's is itself.

        What a baseline does not read is at its default, but for windows, which do not
        overlap, and the layers of thresholds, which are their own.
        """
        if isinstance(self.model, ModelConfig):
            return self
        fields = type(self).model_fields
        own = {key: fields[key].default for key in self.model.unread} | {"overlap": 0.0}
        if isinstance(self.model, ThresholdConfig):
            own["features"] = FeatureConfig(stack=self.model.layer_names(len(self.classes)))
        return self.model_copy(update=own)


def load_config(path: str | Path) -> TrainConfig:
    """Return the training configuration in the TOML file `path`.

    Relative paths in it are taken from the folder of the file.

    Raises
    ------
    ConfigError
        If the file is missing or not TOML, has an unknown key or breaks a rule.
    """
    file = Path(path)
    if not file.is_file():
        raise ConfigError("the configuration does not exist", str(file), "Give a TOML file.")
    try:
        raw = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError("the configuration is not TOML", str(file), f"{error}.") from error
    config = parse_config(raw)
    base = file.parent
    scenes = tuple(base / scene for scene in config.scenes)
    found: dict[str, object] = {"scenes": scenes, "out": base / config.out}
    if config.cache is not None:
        found["cache"] = base / config.cache
    found["pretrained"] = config.pretrained.placed(base)
    if config.start.bundle:
        folder = str(base / config.start.bundle)
        found["start"] = config.start.model_copy(update={"bundle": folder})
    return config.model_copy(update=found)


def parse_config(raw: dict[str, object]) -> TrainConfig:
    """Return `raw` as a training configuration, or raise a ConfigError naming the key."""
    try:
        return TrainConfig.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        key = key_of(first["loc"]) or "the configuration"
        more = f" ({error.error_count() - 1} more)" if error.error_count() > 1 else ""
        raise ConfigError(
            f"{key} is not valid", repr(first.get("input"))[:120], f"{first['msg']}.{more}"
        ) from error


EXAMPLE = """\
# A cryonet training run. Every key but scenes and out may be left out; the values here
# are the defaults, and each of them is our choice: the paper states none.

scenes = ["my-scene"]          # folders made by `cryonet scene ...`, with labels
out = "my-bundle"              # the bundle: weights, manifest, card
title = "CryoNet"

classes = ["other", "clean_ice", "debris", "lake"]   # drop "lake" when there are none
chip = 256                     # side of a training chip, pixels, a multiple of 32
stride = 64                    # distance of neighbouring chips, pixels
balance = 0.5                  # share of chips drawn class by class, the rest uniformly
batch = 8                      # chips in each process at once
accumulate = 1                 # batches to one step of the optimiser
epochs = 30
steps_per_epoch = 100
loss = "ce_dice"               # cross-entropy + Dice; or cross_entropy, focal, tversky,
                               # lovasz, boundary, distance_head
learning_rate = 1e-3           # peak, after warm-up; cosine schedule to zero
weight_decay = 1e-2
warmup_share = 0.05            # share of all steps
clip_norm = 1.0                # largest gradient norm
weight_average = 0.99          # exponential average of weights; 0 turns it off
tile = 256                     # side of a prediction window: part of the model
overlap = 0.25                 # share of a window its neighbour covers too
seed = 0
accelerator = "auto"           # auto, cpu or cuda
devices = 1                    # processes, one for each GPU; on the CPU, too
precision = "32-true"          # 32-true, bf16-mixed or, on a GPU, 16-mixed
threads = 0                    # CPU threads; 0 leaves torch's choice
prefetch = 2                   # batches cut ahead in the background; 0 cuts each in turn
memory = "ram"                 # where normalised layers lie: ram or disk
# cache = "layers"             # folder that keeps them for memory = "disk"; without one they
                               # lie beside the output and are removed at the end

[features]
stack = "full"                 # optical, lean, full, or a list of layer names

[split]
test = "blocks"                # none, west, east, north, south or blocks
test_share = 0.25              # of the scene, for blocks
validation_share = 0.15        # of the blocks that are not test
block = 128                    # side of a block, pixels
# validation_block = 32         # side of validation blocks, if other than block
gap = 128                      # pixels in no split, round test areas and, unless
                               # validation_gap is given, round validation blocks

[model]
architecture = "cryonet"       # U-Net++ with scSE; or unet, deeplabv3plus, segformer; or,
                               # single pixels on the CPU, forest (trees = 100, leaves = 1024,
                               # leaf_pixels = 5, samples = 100000) and threshold
                               # (index = "band_ratio" or "ndsi", on layers of its own)
encoder = "resnet101"          # any encoder of segmentation-models-pytorch
decoder_channels = [256, 128, 64, 32, 16]   # [256] for deeplabv3plus and segformer
pixel_branch = 0               # width of a branch for single pixels; 0 leaves it out

[pretrained]
source = "none"                # a .safetensors, .pth or .pt file, ukis-csmask (needs the
                               # encoder efficientnet-b4), or download
variant = ""                   # ukis-csmask: 6b_l2a, 6b_l1c, 4b_l2a, 4b_l1c; download: imagenet
bands = []                     # layers a file's first filters stand for; red, green, blue
first_layer = "zero-extra"     # what other layers start with; or cyclic, rgb+mean

[start]
bundle = ""                    # folder of a bundle whose weights are trained on
statistics = "bundle"          # its own; or scenes: fitted on these scenes, without labels

[augment]
dihedral = true                # flips and quarter turns, turning directions with them
zoom = 0.0                     # largest change of scale, natural logarithm
gain = 0.1                     # brightness factor, standard deviation
shift = 0.1                    # brightness addend, standard deviation
family_dropout = 0.0           # share of chips that lack a group of families; above 0 the
                               # model can do without them
families = [["coherence", "phase"], ["terrain"]]   # groups that go missing together
"""
