"""From a bundle's and a scene's folder and a place to an explanation's folder."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import shapely
import xarray as xr
from numpy.typing import NDArray
from pyproj import Transformer

from cryonet.atomic import check_replaceable
from cryonet.bundle import Bundle, load_bundle
from cryonet.errors import ConfigError, GridError, SceneError
from cryonet.explain.attribution import Attribution
from cryonet.explain.explain import explain
from cryonet.explain.files import RECORD, write_explanation
from cryonet.explain.question import Question
from cryonet.explain.questions import at_pixel, correct_against_wrong, in_polygon, of_class
from cryonet.explain.stages import explain_stages
from cryonet.explain.view import View, check_window, surroundings
from cryonet.grid import Window, footprint, geobox_of
from cryonet.layers.windows import ReadPixels
from cryonet.progress import SILENT, Progress
from cryonet.scene import open_scene
from cryonet.scene_files import SceneFiles
from cryonet.scene_passes import CHUNKS
from cryonet.sources.polygons import read_polygons


@dataclass(frozen=True, slots=True)
class Place:
    """What is asked about: exactly one of a point, a file of polygons, or a class.

    Attributes
    ----------
    at
        Longitude and latitude, WGS 84.
    polygon
        A vector file; see `cryonet.sources.polygons.read_polygons`.
    target
        The class: of a point or polygon, by default the one that the model gives there.
    window
        Where pixels of a class are looked for; all of the scene by default.
    against
        The class that it is held against; empty for all others together.
    errors
        Whether right pixels of the class are held against wrong ones.
    """

    at: tuple[float, float] | None = None
    polygon: Path | None = None
    target: str = ""
    window: Window | None = None
    against: str = ""
    errors: bool = False

    def __post_init__(self) -> None:
        """Refuse what asks for nothing, or for several things.

        Raises
        ------
        ConfigError
            Saying which.
        """
        if self.at is not None and self.polygon is not None:
            rule = "Give one of them."
            raise ConfigError("two places are asked about", "--at and --polygon", rule)
        if self.at is None and self.polygon is None:
            if not self.target:
                rule = "Give --at LON,LAT, --polygon FILE or --class NAME."
                raise ConfigError("nothing is asked about", "no place", rule)
        elif self.errors or self.window is not None:
            given = "--errors" if self.errors else "--window"
            raise ConfigError(
                f"{given} goes with a class of a window",
                "--at" if self.at is not None else "--polygon",
                "Give --class alone, or leave it out.",
            )
        if self.against and self.against == self.target:
            rule = "Name another class."
            raise ConfigError("the class is held against itself", self.against, rule)


def run_explanation(
    bundle: str | Path,
    scene: str | Path,
    out: str | Path,
    place: Place,
    *,
    method: str = "integrated gradients",
    baseline: str = "training mean",
    steps: int | None = None,
    seed: int = 0,
    device: str = "cpu",
    check: bool = False,
    stages: bool = False,
    overwrite: bool = False,
    progress: Progress = SILENT,
) -> tuple[Attribution, tuple[str, ...]]:
    """Explain what a model says of a place of a scene, and write the explanation's folder.

    Parameters
    ----------
    place
        What is asked about.
    method, baseline, steps, seed, device
        As for `cryonet.explain.explain.explain`.
    check
        Put the explanation to the checks of `cryonet.explain.sanity`.
    stages
        Look at the encoder's stages inside the network, too: `cryonet.explain.stages`.

    Returns
    -------
    The attribution, and the verdict of the checks in lines, none without `check`.

    Raises
    ------
    ConfigError, GridError, SceneError, BundleError
        If something given cannot be used; nothing is written then.
    """
    check_replaceable(out, marker=RECORD, overwrite=overwrite, error=SceneError)
    model = load_bundle(bundle)
    data = open_scene(scene, chunks=CHUNKS)
    settings: dict[str, Any] = {"seed": seed, "device": device}
    if steps is not None:
        settings["steps"] = steps
    with SceneFiles(scene) as files:
        progress.step(0, 0, "computing layers")
        question, view = ask(model, data, place, read=files.read)
        found = explain(
            model,
            data,
            question,
            method=method,
            baseline=baseline,
            view=view,
            progress=progress,
            **settings,
        )
        checked = _checked(model, data, found, view, settings, progress) if check else Checked()
        inside = None
        if stages:
            inside = explain_stages(
                model, data, question, device=device, view=view, progress=progress
            )
    progress.step(0, 0, "writing")
    write_explanation(
        found,
        out,
        manifest=model.manifest,
        scene={str(key): value for key, value in data.attrs.items()},
        values=physical(view),
        checks=checked.record,
        curves=checked.curves,
        stages=inside,
        overwrite=overwrite,
    )
    progress.step(1, 1, "written")
    return found, checked.verdict


@dataclass(frozen=True, slots=True)
class Checked:
    """What the checks found: plain values, curves for the picture, and a verdict in lines."""

    record: dict[str, Any] | None = None
    curves: Mapping[str, Any] | None = None
    verdict: tuple[str, ...] = ()


def ask(
    bundle: Bundle, scene: xr.Dataset, place: Place, *, read: ReadPixels | None = None
) -> tuple[Question, View]:
    """Return the question that a place is, and the view of its window.

    Raises
    ------
    GridError, SceneError, ConfigError, CryonetError
        As the makers of `cryonet.explain.questions`.
    """
    names = (place.target, place.against)
    if place.polygon is not None:
        grid = geobox_of(scene)
        shape = shapely.union_all(list(read_polygons(place.polygon, grid).shapes))
        name = place.polygon.name
        question = in_polygon(bundle, scene, shape, *names, name=name, read=read)
        return question, View.of(bundle, scene, question.window, read=read)
    if place.at is not None:
        row, col = pixel_of(scene, *place.at)
        view = _view(bundle, scene, Window(row, col, 1, 1), read)
        return at_pixel(bundle, scene, row, col, *names, view=view), view
    height, width = (int(side) for side in geobox_of(scene).shape)
    window = place.window or Window(0, 0, height, width)
    view = _view(bundle, scene, window, read)
    make = correct_against_wrong if place.errors else of_class
    return make(bundle, scene, place.target, window, place.against, view=view), view


def _view(bundle: Bundle, scene: xr.Dataset, window: Window, read: ReadPixels | None) -> View:
    height, width = (int(side) for side in geobox_of(scene).shape)
    check_window(window, (height, width))
    seen = surroundings(window, (height, width), bundle.manifest.tile)
    return View.of(bundle, scene, seen, read=read)


def pixel_of(scene: xr.Dataset, lon: float, lat: float) -> tuple[int, int]:
    """Return row and column of the pixel at a longitude and latitude, WGS 84.

    Raises
    ------
    GridError
        If it is no place on Earth, or outside the scene.
    """
    grid = geobox_of(scene)
    given = f"{lon:g},{lat:g}"
    if not (abs(lon) <= 360 and abs(lat) <= 90):
        raise GridError("the place is not on Earth", given, "Give longitude,latitude in degrees.")
    assert grid.crs is not None
    to_grid = Transformer.from_crs("EPSG:4326", grid.crs.proj, always_xy=True)
    x, y = to_grid.transform(lon, lat)
    height, width = (int(side) for side in grid.shape)
    if math.isfinite(x) and math.isfinite(y):
        col, row = (math.floor(v) for v in ~grid.affine * (x, y))
        if 0 <= row < height and 0 <= col < width:
            return row, col
    west, south, east, north = footprint(grid)[1]
    rule = (
        f"Longitudes run from {west:.4f} to {east:.4f}, latitudes from {south:.4f} to {north:.4f}."
    )
    raise GridError("the place lies outside the scene", given, rule)


def physical(view: View) -> NDArray[np.float32]:
    """Return the layers of a view in their own units, clipped as in training, NaN if missing."""
    numbers = [layer.statistics for layer in view.bundle.manifest.layers]
    mean, std = (
        np.array([getattr(n, key) for n in numbers], np.float32)[:, None, None]
        for key in ("mean", "std")
    )
    return np.where(view.known, view.image * std + mean, np.float32(np.nan))


def _checked(
    bundle: Bundle,
    scene: xr.Dataset,
    found: Attribution,
    view: View,
    settings: Mapping[str, Any],
    progress: Progress,
) -> Checked:
    from cryonet.explain.sanity import check_explanation

    sanity = check_explanation(bundle, scene, found, view=view, progress=progress, **settings)
    curves = sanity.curves
    shown = None
    if curves is not None and curves.value != curves.base:
        shown = {
            "deletion": curves.as_share(curves.deletion),
            "insertion": curves.as_share(curves.insertion),
            "random": curves.as_share(curves.random),
            "unit": "share of the evidence over the baseline",
        }
    # The first sentence judges, and one follows for each check.
    head = sanity.verdict.partition(". ")[0].rstrip(".")
    words = {True: "passed", False: "failed", None: "not possible"}
    lines = [f"  {row.name} {words[row.passed]}: {row.says}" for row in sanity.checks]
    return Checked(sanity.to_dict(), shown, (head, *lines))
