"""Measurement: a model's scores on labelled scenes it was not trained on there."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from cryonet.augment import direction_pairs
from cryonet.bundle import Bundle
from cryonet.calibrate import classwise_ece, labelled, temper, top_label
from cryonet.chips import SPLITS
from cryonet.classes import NODATA
from cryonet.errors import SceneError
from cryonet.evaluate import ProbabilityScore
from cryonet.failures import failure_picture, find_failures, share_wrong
from cryonet.grid import Window, geobox_of, scene_box
from cryonet.layers.spec import Family
from cryonet.manifest import Manifest
from cryonet.map_strips import as_prediction
from cryonet.measured import (
    ClassFigures,
    Failure,
    FamilyFigures,
    Measured,
    ProbabilityFigures,
    SceneFigures,
    ScoredSplit,
)
from cryonet.metrics import class_scores, confusion, macro_iou
from cryonet.model_pass import check_fits
from cryonet.passport import split_codes
from cryonet.plotting.failures import FailurePicture
from cryonet.progress import SILENT, Progress
from cryonet.runner import Runner, pick_device
from cryonet.scene_inputs import SceneInputs
from cryonet.scene_record import scene_record
from cryonet.stitch import stitch

#: Blocks that are shown.
FAILURES = 3


@dataclass(frozen=True, slots=True)
class Measurement:
    """What the manifest keeps, and what its pictures are drawn from."""

    record: Measured
    reliability: tuple[ProbabilityScore, ...]
    failures: tuple[FailurePicture, ...]


@dataclass(frozen=True, slots=True)
class _OfScene:
    """What one scene gives: its figures, confusions by what is hidden, labelled pixels."""

    figures: SceneFigures
    matrices: dict[tuple[Family, ...], NDArray[np.int64]]
    shares: NDArray[np.floating]
    codes: NDArray[np.integer]
    failures: list[tuple[Failure, FailurePicture]]


def measure(
    bundle: Bundle,
    scenes: Sequence[xr.Dataset],
    *,
    device: str = "auto",
    batch: int = 4,
    progress: Progress = SILENT,
) -> Measurement:
    """Return the scores of a model on labelled scenes, and where it fails.

    Of a scene the model was trained on the test pixels count, or the validation pixels if no
    test pixel is labelled; of another scene all pixels. The same pixels are scored with each
    family of layers filled in turn, and each group of optional families: `without_families`.

    Parameters
    ----------
    scenes
        With labels. Pixels of classes that the model lacks do not count.
    device, batch
        See `cryonet.predict.predict_scene`.
    progress
        Told of every batch of windows.

    Raises
    ------
    SceneError
        If a scene has no labelled pixel that counts, or is not the one of its id that the model
        was trained on; or two are one.
    BundleError, GridError
        If a scene does not fit the model.
    """
    ids = [str(scene.attrs.get("id", "scene")) for scene in scenes]
    if not ids or len(set(ids)) < len(ids):
        raise SceneError("the scenes to score are not told apart", ids, "Give each once.")
    manifest = bundle.manifest
    hidden = ((), *without_families(manifest))
    steps = _Steps(progress, len(scenes) * len(hidden))
    found = [_of_scene(bundle, scene, hidden, device, batch, steps) for scene in scenes]
    shares = np.concatenate([part.shares for part in found], axis=1)
    codes = np.concatenate([part.codes for part in found])
    reliability = tuple(
        ProbabilityScore(at, classwise_ece(these, codes), top_label(these, codes))
        for at, these in (
            (at, temper(shares, at)) for at in dict.fromkeys((1.0, manifest.temperature))
        )
    )
    worst = sorted((row for part in found for row in part.failures), key=_worst)[:FAILURES]
    record = Measured(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        scenes=tuple(part.figures for part in found),
        probabilities=tuple(
            ProbabilityFigures(
                temperature=row.temperature, ece=row.table.ece, classwise_ece=row.classwise_ece
            )
            for row in reliability
        ),
        families=tuple(
            _family_figures(manifest, gone, np.sum([part.matrices[gone] for part in found], axis=0))
            for gone in hidden
        ),
        failures=tuple(failure for failure, _ in worst),
    )
    return Measurement(record, reliability, tuple(picture for _, picture in worst))


def without_families(manifest: Manifest) -> tuple[tuple[Family, ...], ...]:
    """Return the families that are filled to see what they are worth.

    Each on its own, then each optional group of several. Of a model of one family there is none.
    """
    if len(manifest.families) < 2:
        return ()
    alone = [(family,) for family in manifest.families]
    return (*alone, *(group for group in manifest.optional_families if len(group) > 1))


def probabilities_where(
    bundle: Bundle,
    scene: xr.Dataset,
    wanted: NDArray[np.bool_],
    *,
    hide: Collection[Family] = (),
    device: str = "auto",
    batch: int = 4,
    progress: Progress = SILENT,
) -> NDArray[np.float32]:
    """Return uncalibrated probabilities ``(class, y, x)`` at some pixels, NaN elsewhere.

    They are those of `cryonet.predict.predict_scene`, with the families `hide` filled. Windows
    without a pixel of `wanted` are not computed.
    """
    manifest = bundle.manifest
    inputs = SceneInputs(manifest, scene, hide=hide)
    chosen = pick_device(device)

    def read(window: Window) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        here = wanted[window.slices].astype(np.uint8)
        if not here.any():
            return np.zeros((len(manifest.layers), *here.shape), np.float32), here
        values, flags = inputs[window]
        return values, flags & here

    probabilities, _ = stitch(
        read,
        Runner(bundle.module, chosen, pairs=direction_pairs(manifest.layers)),
        (wanted.shape[0], wanted.shape[1]),
        outputs=len(manifest.classes),
        tile=manifest.tile,
        overlap=manifest.overlap,
        batch=batch,
        progress=progress,
    )
    return probabilities


def scored_pixels(manifest: Manifest, scene: xr.Dataset) -> tuple[ScoredSplit, NDArray[np.bool_]]:
    """Return which pixels of a scene a model may be scored on, and of which split they are.

    Raises
    ------
    SceneError
        If there is none with a label of the model's classes, or the scene is not the one of
        its id that the model was trained on.
    """
    name = str(scene.attrs.get("id", "scene"))
    if "labels" not in scene:
        raise SceneError("the scene has no labels", name, "Scores need them.")
    labels = np.asarray(scene["labels"].values)
    counts = labels < len(manifest.classes)
    codes = split_codes(
        manifest.training.model_dump(mode="json"), name, (labels.shape[0], labels.shape[1])
    )
    choices: dict[ScoredSplit, NDArray[np.bool_]] = {"all": counts}
    if codes is not None:
        own = next(record for record in manifest.training.scenes if record.id == name)
        if scene_record(scene).sha256 != own.sha256:
            rule = "It was changed since, or is another: give it another id if it is elsewhere."
            raise SceneError("the scene is not the one the model was trained on", name, rule)
        choices = {
            "test": counts & (codes == SPLITS["test"]),
            "validation": counts & (codes == SPLITS["validation"]),
        }
    for split, mask in choices.items():
        if mask.any():
            return split, mask
    raise SceneError("no pixel of the scene can be scored", name, "Give labels off the training.")


def _of_scene(
    bundle: Bundle,
    scene: xr.Dataset,
    hidden: Sequence[tuple[Family, ...]],
    device: str,
    batch: int,
    steps: _Steps,
) -> _OfScene:
    manifest, geobox = bundle.manifest, geobox_of(scene)
    check_fits(manifest, geobox)
    split, wanted = scored_pixels(manifest, scene)
    labels = np.where(wanted, scene["labels"].values, NODATA).astype(np.uint8)
    matrices: dict[tuple[Family, ...], NDArray[np.int64]] = {}
    whole: NDArray[np.float32] | None = None
    for gone in hidden:
        shares = probabilities_where(
            bundle, scene, wanted, hide=gone, device=device, batch=batch, progress=steps
        )
        steps.next()
        known = np.isfinite(shares).all(axis=0)
        codes = np.where(known, shares.argmax(axis=0), NODATA).astype(np.uint8)
        matrices[gone] = confusion(codes, labels, len(manifest.classes))
        whole = shares if whole is None else whole
    assert whole is not None
    if not matrices[()].any():
        name = scene.attrs.get("id", "scene")
        raise SceneError("no labelled pixel has all layers", name, "Fill its holes first.")
    made = as_prediction(whole, geobox, manifest.classes, temperature=manifest.temperature)
    return _OfScene(
        _scene_figures(manifest, scene, split, matrices[()]),
        matrices,
        *labelled(whole, labels),
        _failures(manifest, scene, labels, made),
    )


def _failures(
    manifest: Manifest, scene: xr.Dataset, labels: NDArray[np.uint8], made: xr.Dataset
) -> list[tuple[Failure, FailurePicture]]:
    codes, confidence = made["classes"].values, made["confidence"].values
    found = find_failures(
        codes,
        labels,
        scene=str(scene.attrs.get("id", "scene")),
        classes=manifest.classes,
        block=int(manifest.training.config.get("split", {}).get("block", manifest.tile)),
    )
    return [
        (
            row,
            failure_picture(
                row, scene, manifest, codes=codes, labels=labels, confidence=confidence
            ),
        )
        for row in found[:FAILURES]
    ]


def _worst(row: tuple[Failure, FailurePicture]) -> float:
    return -share_wrong(row[0])


def _plain(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _scene_figures(
    manifest: Manifest, scene: xr.Dataset, split: ScoredSplit, matrix: NDArray[np.int64]
) -> SceneFigures:
    scores = class_scores(matrix)
    rows = tuple(
        ClassFigures(
            name=name,
            labelled=int(matrix[code].sum()),
            **{key: _plain(scores[key][code]) for key in ("iou", "precision", "recall")},
        )
        for code, name in enumerate(manifest.classes)
    )
    return SceneFigures(
        scene=str(scene.attrs.get("id", "scene")),
        split=split,
        synthetic=bool(scene.attrs.get("synthetic", False)),
        datetime=str(scene.attrs.get("datetime") or ""),
        bbox=scene_box(scene),
        missing=SceneInputs(manifest, scene).missing,
        pixels=int(matrix.sum()),
        classes=rows,
        macro_iou=_plain(macro_iou(matrix)),
    )


def _family_figures(
    manifest: Manifest, gone: tuple[Family, ...], matrix: NDArray[np.int64]
) -> FamilyFigures:
    return FamilyFigures(
        without=gone,
        optional=bool(gone) and gone in manifest.optional_families,
        iou=tuple(_plain(value) for value in class_scores(matrix)["iou"]),
        macro_iou=_plain(macro_iou(matrix)),
    )


class _Steps:
    """Progress of one pass among several of about the same length."""

    def __init__(self, progress: Progress, passes: int) -> None:
        self._progress, self._passes, self._done = progress, passes, 0

    def next(self) -> None:
        self._done += 1

    def step(self, done: int, total: int, message: str = "") -> None:
        said = f"scoring, pass {self._done + 1} of {self._passes}"
        self._progress.step(self._done * total + done, self._passes * total, said)
