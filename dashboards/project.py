"""What every user of one server shares and nobody changes: scene, model, finished map."""

from __future__ import annotations

import dataclasses
import functools
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import xarray as xr
from odc.geo.geobox import GeoBox

from cryonet.errors import ConfigError
from cryonet.grid import Window, geobox_of
from cryonet.progress import SILENT, Progress
from cryonet.remarks import prediction_remarks
from cryonet.scene import open_scene, read_item
from dashboards.jobs import JobQueue
from dashboards.results import Result, show, write_pictures
from dashboards.tiles import Picture, TileStore, class_outlines, composite, hillshade

#: From a scene and a window of it to classes, probabilities and confidence.
Predictor = Callable[[xr.Dataset, Window, Progress], xr.Dataset]

#: Scenes up to this many pixels are read into memory, larger ones in chunks.
IN_MEMORY = 2048 * 2048

#: False colour, best first: bands as red, green, blue.
FALSE_COLOUR = (("swir16", "nir", "red"), ("nir", "red", "green"), ("swir16", "nir", "green"))


@dataclass(frozen=True)
class Model:
    """A model ready to map: its name, its device, and how it is called."""

    title: str
    device: str
    predict: Predictor
    facts: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Project:
    """A scene on show, with its pictures, its model and its finished map, if any."""

    scene: xr.Dataset
    bases: Mapping[str, str]
    store: TileStore
    model: Model | None = None
    opened: Result | None = None
    queue: JobQueue = field(default_factory=JobQueue)
    # Held so that its files live as long as the project.
    folder: tempfile.TemporaryDirectory[str] | None = None

    def close(self) -> None:
        """Delete the files drawn for this project."""
        if self.folder is not None:
            self.folder.cleanup()

    @property
    def geobox(self) -> GeoBox:
        """Grid of the scene."""
        return geobox_of(self.scene)

    @property
    def whole(self) -> Window:
        """The whole scene as a window."""
        return Window(0, 0, int(self.geobox.shape[0]), int(self.geobox.shape[1]))

    @property
    def title(self) -> str:
        """What the page is headed with."""
        return str(self.scene.attrs.get("title") or self.scene.attrs.get("id") or "Scene")

    @property
    def date(self) -> str:
        """Day of the image; empty when unknown."""
        attrs = self.scene.attrs
        # The writer sets a stand-in time where none was given, and says so.
        return "" if "cryonet:datetime" in attrs else str(attrs.get("datetime") or "")[:10]

    @property
    def grid(self) -> str:
        """CRS and resolution in a few words."""
        crs = self.geobox.crs
        name = f"EPSG:{crs.epsg}" if crs is not None and crs.epsg else "own projection"
        return f"{name}, {abs(self.geobox.resolution.x):g} m"

    @property
    def attribution(self) -> str:
        """Whom the data is from, for the line under the map."""
        if self.synthetic:
            return "Synthetic data, no real place"
        named = (self.scene.attrs.get(key) for key in ("attribution", "license", "id"))
        return next((str(value) for value in named if value), "")

    @property
    def synthetic(self) -> bool:
        """Whether the scene was generated and shows no real place."""
        return bool(self.scene.attrs.get("synthetic"))


def bundle_model(path: Path, *, device: str = "auto") -> Model:
    """Return the model of the bundle in folder `path`."""
    # Imported here: a server that only shows a map needs no torch.
    from cryonet.bundle import load_bundle
    from cryonet.predict import predict_scene
    from cryonet.runner import pick_device

    chosen = str(pick_device(device))
    bundle = load_bundle(path, device=chosen)
    manifest = bundle.manifest

    def predict(scene: xr.Dataset, window: Window, progress: Progress) -> xr.Dataset:
        # One tile at a time: the page counts tiles, and a cancel is answered within one.
        return predict_scene(
            bundle, scene, device=chosen, batch=1, window=window, progress=progress
        )

    facts = (
        ("Architecture", manifest.model.title),
        ("Parameters", f"{manifest.parameters / 1e6:.1f} million"),
        ("Layers", ", ".join(manifest.layer_names)),
        ("Resolution", f"{manifest.resolution:g} m"),
        ("Tile", f"{manifest.tile} pixels, overlap {manifest.overlap:.0%}"),
        ("Trained on", ", ".join(scene.id for scene in manifest.training.scenes) or "unknown"),
    )
    return Model(manifest.title, chosen, predict, facts)


def open_project(
    scene: str | Path,
    *,
    bundle: str | Path | None = None,
    prediction: str | Path | None = None,
    device: str = "auto",
    progress: Progress = SILENT,
) -> Project:
    """Return the project of a scene, with a model, a finished map, or both.

    With a model but no prediction, the whole scene is mapped once, here, so that the page
    opens on a finished map.

    Raises
    ------
    CryonetError
        If scene, bundle or prediction cannot be used, or do not belong together.
    """
    folder = Path(scene) if Path(scene).is_dir() else Path(scene).parent
    rows, cols = read_item(scene)["properties"].get("proj:shape", (0, 0))
    data = open_scene(scene, chunks=None if rows * cols <= IN_MEMORY else 1024)
    pictures = scene_pictures(data, folder)
    store = TileStore(pictures)
    model = bundle_model(Path(bundle), device=device) if bundle else None
    work = tempfile.TemporaryDirectory(prefix="cryonet-")
    project = Project(data, base_titles(pictures), store, model, folder=work)
    note = ""
    try:
        if prediction is not None:
            finished = Path(prediction)
        elif model is not None:
            found = model.predict(data, project.whole, progress)
            finished = write_pictures(found, Path(work.name))
            note = " ".join(prediction_remarks(found.attrs))
        else:
            return project
        opened = show(finished, data, project.whole, store, title="Whole scene", note=note)
    except BaseException:
        project.close()
        raise
    return dataclasses.replace(project, opened=opened)


def scene_pictures(scene: xr.Dataset, folder: Path) -> dict[str, Picture]:
    """Return what can be drawn of a scene's files, by tile name."""
    pictures = {}
    if {"red", "green", "blue"} <= set(scene.data_vars):
        pictures["true-colour"] = composite(folder / "optical.tif", ("red", "green", "blue"))
    for bands in FALSE_COLOUR:
        if set(bands) <= set(scene.data_vars):
            pictures["false-colour"] = composite(folder / "optical.tif", bands)
            break
    if "elevation" in scene:
        pictures["hillshade"] = hillshade(folder / "elevation.tif")
    if "labels" in scene:
        pictures["labels"] = class_outlines(folder / "labels.tif")
    if not pictures.keys() - {"labels"}:
        raise ConfigError(
            "the scene has nothing to draw", list(scene.data_vars), "It needs colour or elevation."
        )
    return pictures


def base_titles(pictures: Mapping[str, Picture]) -> dict[str, str]:
    """Return the base images there are: what each is called on the page, and its tile name."""
    titles = {"true-colour": "True colour", "false-colour": "False colour", "hillshade": "Relief"}
    return {title: name for name, title in titles.items() if name in pictures}


@functools.cache
def project_from_environment() -> Project:
    """Return the project that ``CRYONET_SCENE``, ``_BUNDLE`` and ``_PREDICTION`` name.

    Opened once for a server; this is how ``panel serve dashboards/app.py`` finds its scene.

    Raises
    ------
    ConfigError
        If no scene is named.
    """
    named = {key: os.environ.get(f"CRYONET_{key.upper()}") for key in ("scene", "bundle")}
    if not named["scene"]:
        raise ConfigError("no scene is named", "CRYONET_SCENE", "Set it to a scene's folder.")
    return open_project(
        named["scene"],
        bundle=named["bundle"],
        prediction=os.environ.get("CRYONET_PREDICTION"),
        device=os.environ.get("CRYONET_DEVICE", "auto"),
    )
