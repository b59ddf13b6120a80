"""From a bundle and many scenes to a folder of predictions, and one mosaic of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from odc.geo.geobox import GeoBox

from cryonet.errors import ConfigError, CryonetError, SceneError
from cryonet.grid import geobox_of
from cryonet.mosaic_grid import mosaic_grid
from cryonet.mosaic_workflow import run_mosaic
from cryonet.predict_workflow import Models, cluster_for
from cryonet.prediction_record import PASSPORT
from cryonet.progress import SILENT, Cancelled, Progress
from cryonet.scene import open_scene
from cryonet.scene_collection import find_scenes, scene_names
from cryonet.scene_passes import CHUNKS, PassOptions
from cryonet.scene_shares import SceneShares
from cryonet.stitch import window_count

#: On a cluster: while one scene's files are written, workers go on with the next.
AT_ONCE = 2

#: Seconds between two looks at what goes on.
LOOK = 0.1


@dataclass(slots=True)
class ScenesReport:
    """What became of many scenes, by name.

    Attributes
    ----------
    written
        Predicted now.
    kept
        Were finished, made just so.
    failed
        What was wrong.
    mosaic
        The folder of the mosaic; None if none was asked for, or scenes failed.
    """

    written: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    mosaic: Path | None = None


def run_predictions(
    bundle: str | Path,
    scenes: str | Path,
    out: str | Path,
    *,
    options: PassOptions | None = None,
    others: Sequence[str | Path] = (),
    scheduler: str | None = None,
    workers: int | None = None,
    threads: int | None = None,
    mosaic: str | None = None,
    crs: str | None = None,
    overwrite: bool = False,
    progress: Progress = SILENT,
) -> ScenesReport:
    """Predict many scenes, each into a folder of `out` named after its id; say what became of them.

    A scene that fails does not keep the others from being predicted. Run again, finished
    predictions that were made just so are left as they are, also if overwriting is allowed.

    Parameters
    ----------
    scenes
        See `cryonet.scene_collection.find_scenes`.
    options
        How the models go over the scenes.
    others, scheduler, workers, threads
        See `cryonet.predict_workflow.run_prediction`.
    mosaic
        Name of one more folder in `out`: all predictions as one (`cryonet.mosaic_workflow`). It
        is not made if a scene failed.
    crs
        Of the mosaic; by default that of most scenes.
    overwrite
        Replace finished predictions that were made otherwise, and an earlier mosaic.

    Raises
    ------
    SceneError
        If there are no scenes, two have one id, or `out` is something else.
    GridError
        If the mosaic cannot have this CRS; told before anything is predicted.
    Cancelled
        From `progress`; what is finished is kept.
    """
    options = options or PassOptions()
    found = find_scenes(scenes)
    places = dict(zip(scene_names(found), found, strict=True))
    folder = _check_out(Path(out), places, mosaic)
    models = Models.load([bundle, *others], options)
    report, windows, boxes = ScenesReport(), {}, []
    for number, (name, scene) in enumerate(places.items()):
        progress.step(number, len(places), "looking at the scenes")
        with _noted(report, name):
            boxes.append(geobox_of(open_scene(scene, chunks=CHUNKS)))
            windows[name] = _windows(boxes[-1], models)
    if mosaic is not None and boxes:
        # What no mosaic can be made of is told before hours of work.
        mosaic_grid(boxes, crs=crs)
    shares = SceneShares(progress, windows)
    with cluster_for(scheduler, options.device, workers, threads) as cluster:
        ready = models.on(cluster, progress)

        def predict(name: str) -> None:
            with _noted(report, name):
                made = ready.predict(
                    places[name],
                    folder / name,
                    overwrite=overwrite,
                    keep=True,
                    progress=shares.of(name),
                )
                (report.written if made else report.kept).append(name)
            shares.finish(name)

        _each(predict, windows, shares, at_once=AT_ONCE if cluster else 1)
    if mosaic is not None and not report.failed:
        parts = [folder / name for name in places]
        report.mosaic = run_mosaic(
            parts, folder / mosaic, crs=crs, overwrite=overwrite, keep=True, progress=progress
        )
    return report


def _each(
    predict: Callable[[str], None], names: Iterable[str], shares: SceneShares, *, at_once: int
) -> None:
    if at_once == 1:
        # In this thread: torch keeps its number of threads thread by thread.
        for name in names:
            predict(name)
            shares.show()
        return
    with ThreadPoolExecutor(at_once, "scene") as pool:
        left = {pool.submit(predict, name) for name in names}
        try:
            while left:
                shares.show()
                done, left = wait(left, LOOK)
                for future in done:
                    future.result()
        except BaseException:
            shares.stop()
            for future in left:
                future.cancel()
            raise


@contextmanager
def _noted(report: ScenesReport, name: str) -> Iterator[None]:
    """Note what is wrong with a scene in the report, and go on; not so when cancelled."""
    try:
        yield
    except Cancelled:
        raise
    except CryonetError as error:
        report.failed[name] = str(error)
    except Exception as error:
        report.failed[name] = f"{type(error).__name__}: {error}"


def _check_out(out: Path, places: dict[str, Path], mosaic: str | None) -> Path:
    if (out / PASSPORT).is_file() or (out.exists() and not out.is_dir()):
        rule = "Many scenes are predicted into a folder of their predictions; choose another."
        raise SceneError("the output is something else", str(out), rule)
    if mosaic is not None and (mosaic in places or Path(mosaic).name != mosaic or not mosaic):
        rule = "It is a folder beside the predictions, and no scene's id."
        raise ConfigError("the mosaic cannot have this name", mosaic, rule)
    return out.absolute()


def _windows(geobox: GeoBox, models: Models) -> int:
    height, width = (int(side) for side in geobox.shape)
    asked = models.options.overlap
    return sum(
        window_count((height, width), own.tile, own.overlap if asked is None else asked)
        for own in (bundle.manifest for bundle in models.bundles)
    )
