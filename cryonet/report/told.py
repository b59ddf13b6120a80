"""What a passport tells, checked and named; keys that no page shows are left alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cryonet.errors import SceneError
from cryonet.model_config import key_of


class _Told(BaseModel):
    # A manifest has much more, and other versions of cryonet may add to it.
    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=())


class SceneTold(_Told):
    """A scene: its name and, of the one that was mapped, its files with their hashes."""

    id: str = ""
    synthetic: bool = False
    files: dict[str, str] = {}
    warps: tuple[dict[str, Any], ...] = ()


class ScenesTold(_Told):
    """The scenes that some weights are from."""

    scenes: tuple[SceneTold, ...] = ()


class TrainingTold(ScenesTold):
    """How a model was trained."""

    seed: int | None = None
    start: ScenesTold | None = None


class LayerTold(_Told):
    """A layer that a model takes."""

    name: str
    family: str = ""


class CalibrationTold(_Told):
    """How a model's probabilities were calibrated."""

    temperature: float
    split: str = ""


class ModelTold(_Told):
    """A model."""

    title: str = ""
    created: str = ""
    network: dict[str, Any] = Field({}, alias="model")
    layers: tuple[LayerTold, ...] = ()
    parameters: int | None = None
    overlap: float | None = None
    weights_sha256: str = ""
    training: TrainingTold = TrainingTold()
    calibration: CalibrationTold | None = None

    @property
    def synthetic(self) -> bool:
        """Whether a scene that formed its weights was synthetic."""
        before = self.training.start.scenes if self.training.start else ()
        return any(scene.synthetic for scene in (*self.training.scenes, *before))


class MemberTold(_Told):
    """What was out of the ordinary with a model; see `cryonet.remarks.prediction_remarks`."""

    missing_families: tuple[str, ...] = ()
    filled_pixels: dict[str, int] = {}
    batch_held: int | None = None


class HandTold(_Told):
    """How much of a map was set by hand; see `cryonet.correction_record.summary`."""

    polygons: int
    pixels: int
    km2: float


class BaseTold(_Told):
    """The prediction that was corrected."""

    folder: str = ""


class RoundTold(_Told):
    """Polygons that were merged together; see `cryonet.correction_record.round_record`."""

    source: str
    sha256: str = ""
    merged: str = ""
    by: tuple[str, ...] = ()
    polygons: int
    base: BaseTold = BaseTold()


class MadeTold(MemberTold):
    """How the map was made; see `cryonet.predict.predict_scene`."""

    model: str = ""
    scene: str = ""
    datetime: str = ""
    synthetic: bool = False
    device: str = ""
    tile: int | None = None
    overlap: float | None = None
    blend: str = ""
    flips: int | None = None
    temperature: float = 1.0
    seconds: float | None = None
    members: tuple[MemberTold, ...] | None = None
    corrections: HandTold | None = None


class SettingsTold(_Told):
    """As the prediction was asked for."""

    batch: int = 4
    blend: str = "cosine"
    flips: bool = False
    calibrated: bool = True
    device: str = "auto"


class PassportTold(_Told):
    """A passport; see `cryonet.passport.make_passport`."""

    scene: SceneTold = SceneTold()
    bundle: ModelTold | None = None
    members: tuple[ModelTold, ...] = ()
    settings: SettingsTold = SettingsTold()
    versions: dict[str, str] = {}
    prediction: MadeTold = MadeTold()
    corrections: tuple[RoundTold, ...] = ()

    @property
    def models(self) -> tuple[ModelTold, ...]:
        """The model, or the members of an ensemble."""
        return self.members or ((self.bundle,) if self.bundle else ())

    @property
    def calibrated(self) -> bool:
        """Whether the probabilities of all models were calibrated."""
        models = self.models
        return bool(models) and self.settings.calibrated and all(m.calibration for m in models)


def read_told(passport: Mapping[str, Any]) -> PassportTold:
    """Return what a passport tells.

    Raises
    ------
    SceneError
        If a key of it holds something else than such a key does: named.
    """
    try:
        return PassportTold.model_validate(passport)
    except ValidationError as error:
        first = error.errors()[0]
        raise SceneError(
            f"the passport is not valid at {key_of(first['loc'])}",
            repr(first.get("input"))[:120],
            f"{first['msg']}.",
        ) from error
