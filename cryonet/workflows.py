"""One function a stage, from files to files: open, compute, write."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr

from cryonet.areas import BUFFER, CORRELATION
from cryonet.atomic import check_replaceable, whole_file
from cryonet.band import Band
from cryonet.classes import NODATA
from cryonet.cog import open_raster, origin_tags, write_cog
from cryonet.errors import LayerError, SceneError
from cryonet.grid import check_same_grid, geobox_of
from cryonet.layers import LAYERS, Fits, build_stack, fit_layers, select_layers
from cryonet.layers.copies import Copy, find_copies
from cryonet.layers.fits import FIT_NAMES, fits_of
from cryonet.layers.windows import BLOCK
from cryonet.progress import SILENT, Progress
from cryonet.rank import is_first_process
from cryonet.scene import open_scene
from cryonet.scene_writer import check_target, write_scene

if TYPE_CHECKING:
    from cryonet.config import TrainConfig
    from cryonet.evaluate import Scores


def make_synthetic(
    out: str | Path,
    *,
    size: int = 1024,
    seed: int = 0,
    region: str = "poiqu",
    dem: str | Path | None = None,
    outlines: str | Path | None = None,
    overwrite: bool = False,
    progress: Progress = SILENT,
) -> Path:
    """Write the synthetic teaching scene as a folder; return it.

    Parameters
    ----------
    size, seed, region
        See `cryonet.synthetic.make_scene`.
    dem
        A raster of elevation in metres, which replaces the generated relief: its middle
        `size` pixels of 10 m, in its own CRS when that is in metres, in UTM otherwise.
    outlines
        Polygons that replace the generated extent of the ice.
    """
    from cryonet.sources.labels import outline_mask
    from cryonet.sources.terrain import read_terrain
    from cryonet.synthetic import STORAGE, make_scene

    check_target(out, overwrite=overwrite)
    if outlines is not None and dem is None:
        raise SceneError(
            "outlines without terrain", str(outlines), "Give the DEM they belong to as well."
        )
    elevation, geobox = (None, None) if dem is None else read_terrain(dem, size=size)
    ice = None if outlines is None or geobox is None else outline_mask(outlines, geobox)
    scene = make_scene(
        size,
        seed=seed,
        region=region,
        elevation=elevation,
        outlines=ice,
        geobox=geobox,
        progress=progress,
    )
    return write_scene(scene, out, storage=STORAGE, overwrite=overwrite)


def scene_stack(
    scene: str | Path,
    layers: str | Sequence[str] | None = None,
    fits: str | Path | None = None,
    progress: Progress = SILENT,
) -> xr.Dataset:
    """Return the layers of a scene's folder.

    `fits` is a file that `fit_scenes` wrote. Without it PCA and texture are fitted to the
    scene itself: good to look at, not to compare scenes with.
    """
    opened = open_scene(scene)
    if fits is not None:
        return build_stack(opened, layers, fits=read_fits(fits), progress=progress)
    specs, _ = select_layers(opened, layers, fits=FIT_NAMES)
    known = fit_layers([opened], names=fits_of(specs))
    return build_stack(opened, layers, fits=known, progress=progress)


def compute_layers(
    scene: str | Path,
    out: str | Path,
    *,
    layers: str | Sequence[str] | None = None,
    fits: str | Path | None = None,
    progress: Progress = SILENT,
) -> dict[str, tuple[str, ...]]:
    """Write the layers of a scene as one COG; return the absent ones and what they lack.

    See `scene_stack` for the parameters.

    Raises
    ------
    SceneError
        If the output exists already.
    """
    target = _new_file(out)
    stack = scene_stack(scene, layers, fits, progress)
    names = [str(name) for name in stack.data_vars]
    data = np.stack([stack[name].values for name in names])
    bands = [Band(name, LAYERS[name].units) for name in names]
    write_cog(
        target,
        data,
        geobox_of(stack),
        bands,
        nodata=float("nan"),
        tags=origin_tags(stack.attrs),
        resampling="average",
    )
    absent: dict[str, tuple[str, ...]] = stack.attrs["absent"]
    return absent


def plot_layers(
    scene: str | Path,
    out: str | Path,
    *,
    layers: str | Sequence[str] | None = None,
    fits: str | Path | None = None,
    progress: Progress = SILENT,
) -> Path:
    """Write a contact sheet of a scene's layers as PNG; see `scene_stack`.

    Raises
    ------
    SceneError
        If the output exists already.
    """
    from cryonet.plotting import layer_gallery

    target = _new_file(out)
    figure = layer_gallery(scene_stack(scene, layers, fits, progress))
    with whole_file(target) as file:
        figure.savefig(file, format="png", dpi=130)
    return target


def check_layers(
    scene: str | Path,
    *,
    layers: str | Sequence[str] | None = None,
    fits: str | Path | None = None,
    progress: Progress = SILENT,
) -> list[Copy]:
    """Return the layers of a scene that are copies or sums of others; see `find_copies`."""
    return find_copies(scene_stack(scene, layers, fits, progress))


def _new_file(out: str | Path) -> Path:
    target = Path(out)
    if target.exists():
        raise SceneError("the output exists already", str(target), "Choose another name.")
    return target


def fit_scenes(
    scenes: Sequence[str | Path], out: str | Path, *, progress: Progress = SILENT
) -> Fits:
    """Write what PCA and texture learn from all pixels of some scenes as JSON; return it.

    Raises
    ------
    SceneError, LayerError
        If the file exists already, or the scenes have the bands of no fit.
    """
    target = _new_file(out)
    fits = fit_layers([open_scene(scene) for scene in scenes], progress=progress)
    if not fits.names:
        raise LayerError("there is nothing to fit", list(map(str, scenes)), "Give optical bands.")
    with whole_file(target) as file:
        file.write_text(fits.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return fits


def read_fits(path: str | Path) -> Fits:
    """Return the fits that `fit_scenes` wrote.

    Raises
    ------
    LayerError
        If the file cannot be read, or holds something else.
    """
    try:
        return Fits.model_validate_json(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        rule = "Give a file that cryonet layers fit wrote."
        raise LayerError("the fits cannot be read", str(path), rule) from error


def run_training(
    config: TrainConfig, *, overwrite: bool = False, progress: Progress = SILENT
) -> Path:
    """Train after `config`, keep the best bundle in ``config.out``; return its folder.

    Beside the bundle, ``<out>-logs`` holds ``metrics.csv`` and TensorBoard events. Its card has
    the scores of the test pixels of the scenes, or validation pixels where there are none;
    not if training was interrupted. Of several processes the first alone writes.

    Raises
    ------
    SceneError
        If the output exists already and may not be replaced.
    """
    from cryonet.bundle import MANIFEST, load_bundle, save_bundle
    from cryonet.card_workflow import add_card
    from cryonet.train import train
    from cryonet.train_log import TrainLog

    check_replaceable(config.out, marker=MANIFEST, overwrite=overwrite, error=SceneError)
    start = load_bundle(config.start.bundle) if config.start.bundle else None
    # In blocks where they need not fit into memory.
    chunks = BLOCK if config.memory == "disk" else None
    scenes = [open_scene(path, chunks=chunks) for path in config.scenes]
    with TrainLog(config.out.parent / f"{config.out.name}-logs") as log:
        bundle = train(
            scenes,
            config,
            start=start,
            on_best=lambda best: save_bundle(best, config.out, overwrite=True),
            log=log.epoch,
            progress=progress,
        )
    if not is_first_process():
        return config.out
    path = save_bundle(bundle, config.out, overwrite=True)
    if bundle.manifest.training.interrupted:
        return path
    return add_card(path, bundle, scenes, device=config.accelerator, progress=progress)


def run_evaluation(
    prediction: str | Path,
    labels: str | Path,
    *,
    out: str | Path | None = None,
    split: str = "all",
    reliability: str | Path | None = None,
    correlation: float = CORRELATION,
    buffer: float = BUFFER,
) -> Scores:
    """Return the scores of a prediction against labels, and write them as JSON to `out`.

    They hold how reliable its probabilities are, and its areas with their uncertainty.

    Parameters
    ----------
    labels
        A scene's folder, or a GeoTIFF of class codes, on the prediction's grid.
    split
        ``all`` pixels, or only those of one split of the training run behind the
        prediction: ``train``, ``validation`` or ``test``.
    reliability
        A PNG of how often pixels of a given probability are right, to be written.
    correlation, buffer
        Metres over which errors go together and pixels to either side of an outline, for the
        uncertainty of areas; see `cryonet.areas`.

    Raises
    ------
    GridError
        If the labels lie on another grid.
    SceneError
        If there are no labels, or the split is unknown.
    """
    from cryonet.evaluate import score_prediction
    from cryonet.passport import split_mask
    from cryonet.prediction import open_prediction, read_passport

    found = open_prediction(prediction)
    truth = _read_labels(labels)
    check_same_grid(geobox_of(found), geobox_of(truth), what="prediction and labels")
    codes = np.asarray(truth.values)
    shape = (codes.shape[0], codes.shape[1])
    mask = None if split == "all" else split_mask(read_passport(prediction), split, shape)
    scores = score_prediction(found, codes, mask=mask, correlation=correlation, buffer=buffer)
    if reliability is not None:
        _plot_reliability(scores, Path(reliability))
    if out is not None:
        told = {"split": split, "corrections": found.attrs.get("corrections")}
        text = json.dumps({**told, **scores.to_dict()}, indent=2) + "\n"
        with whole_file(Path(out)) as file:
            file.write_text(text, encoding="utf-8")
    return scores


def _plot_reliability(scores: Scores, target: Path) -> None:
    from matplotlib.figure import Figure

    from cryonet.plotting import plot_reliability

    figure = Figure(figsize=(4.6, 4.6), layout="constrained")
    plot_reliability(scores.probabilities, ax=figure.subplots())
    with whole_file(target) as file:
        figure.savefig(file, format="png", dpi=130)


def _read_labels(path: str | Path) -> xr.DataArray:
    where = Path(path)
    if where.is_dir() or where.suffix == ".json":
        scene = open_scene(where)
        if "labels" not in scene:
            raise SceneError("the scene has no labels", str(where), "Give a scene with labels.")
        return scene["labels"]
    import rioxarray

    with open_raster(where) as source:
        count, kind = source.count, source.dtypes[0]
    if count != 1 or kind != "uint8":
        raise SceneError(
            "the file does not hold class codes", f"{count} bands of {kind}", "Give one of uint8."
        )
    found = rioxarray.open_rasterio(where, driver="GTiff")
    assert isinstance(found, xr.DataArray)
    nodata = found.rio.nodata
    band = found.isel(band=0)
    return band if nodata in (None, NODATA) else band.where(band != nodata, NODATA).astype("uint8")
