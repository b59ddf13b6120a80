"""What a prediction was made of, if it is still there: its scene, and its models' cards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryonet.bundle import CARD, ITEM, read_manifest
from cryonet.errors import BundleError, CryonetError, SceneError
from cryonet.file_hash import folder_hashes
from cryonet.grid import Window, geobox_of, window_of
from cryonet.prediction import linked_folders
from cryonet.prediction_files import PredictionFiles
from cryonet.report.told import PassportTold
from cryonet.scene import ITEM_NAME, open_scene, read_item
from cryonet.scene_files import SceneFiles

#: The scene is looked at in such blocks; no pixel is read for that.
_CHUNKS = 4096

_NO_SCENE = (
    "The scene is no longer where the prediction links to: the page goes without its picture, "
    "elevation, labels and terms of use."
)
_NO_BUNDLE = (
    "A bundle is no longer where the prediction links to: the page goes without its model's card."
)


@dataclass(frozen=True, slots=True)
class SceneUnder:
    """The scene under a prediction.

    Attributes
    ----------
    path
        Its folder.
    item
        Its STAC Item.
    names
        The variables it holds.
    shape
        Its rows and columns.
    window
        Where the prediction lies in it.
    """

    path: Path
    item: Mapping[str, Any]
    names: frozenset[str]
    shape: tuple[int, int]
    window: Window

    def read(self, files: SceneFiles, names: Sequence[str], rows: Window) -> dict[str, Any]:
        """Return variables of rows of the prediction, ``(y, x)`` by name."""
        return files.read(names, rows.moved(self.window.row, self.window.col))

    def overview(
        self, files: SceneFiles, names: Sequence[str], shape: tuple[int, int]
    ) -> dict[str, NDArray[np.float32]]:
        """Return variables of all of the prediction's ground, brought to `shape`."""
        return files.overview(names, self.window, shape)


@dataclass(frozen=True, slots=True)
class BundleUnder:
    """A bundle that a prediction was made with: its folder, its title, the hash of its weights."""

    path: Path
    title: str
    weights: str


def find_scene(
    files: PredictionFiles, told: PassportTold, given: str | Path | None
) -> tuple[SceneUnder | None, list[str]]:
    """Return the scene of a prediction, and what should be said of it.

    Parameters
    ----------
    given
        Its folder; by default the one that the prediction links to. If that one is gone, or is
        another now, there is none, and it is said why.

    Raises
    ------
    SceneError
        If the `given` folder is no scene, or another than the prediction's.
    GridError
        If the prediction does not lie on its pixels.
    """
    if given is not None:
        found = _scene(files, told, Path(given))
        return found, _changes(told, found)
    places = linked_folders(files.path, ITEM_NAME)
    if not places:
        return None, [_NO_SCENE]
    try:
        found = _scene(files, told, places[0])
    except CryonetError as error:
        # Without the value: it may be a path of this machine, and the page is for others.
        return None, [f"The scene that the prediction links to cannot be used: {error.what}."]
    return found, _changes(told, found)


def _scene(files: PredictionFiles, told: PassportTold, path: Path) -> SceneUnder:
    item = read_item(path)
    if told.scene.id and item["id"] != told.scene.id:
        rule = f"The prediction is of {told.scene.id}."
        raise SceneError("the scene is another", item["id"], rule)
    data = open_scene(path, chunks=_CHUNKS)
    whole = geobox_of(data)
    return SceneUnder(
        path=path if path.is_dir() else path.parent,
        item=item,
        names=frozenset(str(name) for name in data.data_vars),
        shape=(int(whole.shape[0]), int(whole.shape[1])),
        window=window_of(files.geobox, whole, what="the scene and the prediction"),
    )


def _changes(told: PassportTold, found: SceneUnder) -> list[str]:
    """Return which files of a scene are no longer those that the passport speaks of."""
    stated = told.scene.files
    held = folder_hashes(found.path) if stated else {}
    changed = [name for name, digest in stated.items() if held.get(name) != digest]
    new = [name for name in held if name.endswith(".tif") and name not in stated]
    said = []
    if changed:
        said.append(f"Files of the scene have changed since the prediction: {', '.join(changed)}.")
    if new:
        said.append(f"Files of the scene are newer than the prediction: {', '.join(new)}.")
    return said


def find_bundles(
    files: PredictionFiles, told: PassportTold, given: Sequence[str | Path]
) -> tuple[list[BundleUnder], list[str]]:
    """Return the bundles of a prediction, and what should be said of them.

    Parameters
    ----------
    given
        Folders; by default those that the prediction links to. If one of those is gone, or is
        another now, it is said.

    Raises
    ------
    BundleError
        If a `given` folder is no bundle, or another than the prediction's.
    """
    wanted = [model.weights_sha256 for model in told.models if model.weights_sha256]
    if given:
        return [_bundle(Path(path), wanted) for path in given], []
    found, said = [], []
    for path in linked_folders(files.path, ITEM):
        try:
            found.append(_bundle(path, wanted))
        except CryonetError as error:
            said.append(f"A bundle that the prediction links to cannot be used: {error.what}.")
    if len(found) + len(said) < max(1, len(told.models)):
        said.append(_NO_BUNDLE)
    return found, said


def _bundle(path: Path, wanted: Sequence[str]) -> BundleUnder:
    manifest = read_manifest(path)
    found = manifest.weights_sha256
    if wanted and found not in wanted:
        spoken = ", ".join(f"{digest[:12]}…" for digest in wanted)
        raise BundleError(
            "the bundle is not the one of the prediction",
            f"{path}: weights {found[:12]}…",
            f"The passport speaks of {spoken}.",
        )
    card = path / CARD
    # A link may lead to a file that is not meant for the page.
    if card.is_symlink() or not card.is_file():
        raise BundleError("the bundle has no card", str(path), f"Its folder holds {CARD}.")
    return BundleUnder(path, manifest.title, found)
