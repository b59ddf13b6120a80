"""From a prediction's folder to a page about it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cryonet.areas import BUFFER, CORRELATION
from cryonet.atomic import whole_file
from cryonet.correction_record import read_rows
from cryonet.errors import SceneError
from cryonet.prediction_files import PredictionFiles
from cryonet.progress import SILENT, Progress
from cryonet.report.measures import measure
from cryonet.report.origins import find_bundles, find_scene
from cryonet.report.page import MARK, Origins, render_page
from cryonet.report.told import read_told

#: So far into a file its mark stands.
_HEAD = 1000


def run_report(
    prediction: str | Path,
    out: str | Path,
    *,
    scene: str | Path | None = None,
    bundles: Sequence[str | Path] = (),
    correlation: float = CORRELATION,
    buffer: float = BUFFER,
    overwrite: bool = False,
    progress: Progress = SILENT,
) -> Path:
    """Write one HTML page about a prediction, which needs no other file; return its path.

    Its figures are of every pixel, read some rows at a time; its pictures are small ones. Of a
    corrected prediction they are those of the corrected map, and it says what is by hand.

    Parameters
    ----------
    scene
        The folder of the scene, for its picture, elevation and labels; by default the one that
        the prediction links to, if it is still there.
    bundles
        The folders of its models, for their cards; by default those that it links to.
    correlation, buffer
        As for `cryonet.areas.estimate_areas`.

    Raises
    ------
    SceneError
        If there is no prediction, the name is not that of a page, or something stands there that
        may not be replaced; if the scene that is given is another.
    BundleError
        If a bundle that is given is not one of the prediction's.
    """
    target = Path(out)
    _check_target(target, overwrite=overwrite)
    with PredictionFiles(prediction) as files:
        progress.step(0, 0, "looking for scene and bundle")
        told = read_told(files.passport)
        under, said = find_scene(files, told, scene)
        cards, more = find_bundles(files, told, bundles)
        options = {"correlation": correlation, "buffer": buffer}
        figures = measure(
            files, under, temperature=told.prediction.temperature, progress=progress, **options
        )
        progress.step(0, 0, "drawing")
        drawn = read_rows(files.path) if files.corrected else None
        origins = Origins(told, under, cards, [*said, *more], drawn)
        page = render_page(files, origins, figures, **options)
    try:
        with whole_file(target) as work:
            # JSON may hold halves of surrogate pairs, which no file can.
            work.write_text(page, encoding="utf-8", errors="replace")
    except OSError as error:
        rule = f"The system says: {error}."
        raise SceneError("the output cannot be written", str(target), rule) from error
    progress.step(1, 1, "written")
    return target


def _check_target(target: Path, *, overwrite: bool) -> None:
    if target.suffix.lower() not in (".html", ".htm"):
        raise SceneError("a report is a page", target.name, "Name it with .html.")
    if not target.exists():
        return
    if not overwrite:
        rule = "Choose another name, or allow overwriting."
        raise SceneError("the output exists already", str(target), rule)
    if not target.is_file() or MARK.encode() not in _head(target):
        raise SceneError("the output is something else", str(target), "Only a report is replaced.")


def _head(file: Path) -> bytes:
    with file.open("rb") as stream:
        return stream.read(_HEAD)
