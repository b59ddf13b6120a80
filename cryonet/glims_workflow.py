"""From a prediction's folder to a package for the GLIMS database."""

from __future__ import annotations

import json
import tempfile
from datetime import date
from pathlib import Path

import pandas as pd

from cryonet import __version__
from cryonet.atomic import whole_file
from cryonet.errors import SceneError
from cryonet.glims_check import check_package
from cryonet.glims_description import describe_processing
from cryonet.glims_images import SourceImage, geolocation, local_uncertainty, source_images
from cryonet.glims_outlines import GlimsOutlines, glims_outlines
from cryonet.glims_package import write_package
from cryonet.glims_submission import Submission
from cryonet.glims_tables import Facts, glims_tables
from cryonet.grid import pixel_side
from cryonet.outline_attributes import match_inventory, with_attributes
from cryonet.outlines import MIN_AREA, Outlines, make_outlines
from cryonet.outlines_workflow import OpenedMap, check_target, open_map
from cryonet.prediction import ITEM, read_passport
from cryonet.progress import SILENT, Progress
from cryonet.scene import read_item

#: What a package is written as.
SUFFIXES = (".zip",)


def run_glims(
    prediction: str | Path,
    out: str | Path,
    submission: Submission,
    *,
    scene: str | Path | None = None,
    divides: str | Path | None = None,
    min_area: float = MIN_AREA,
    smooth: bool = False,
    overwrite: bool = False,
    progress: Progress = SILENT,
) -> tuple[dict[str, int], int]:
    """Write the GLIMS package of a prediction, and read it back.

    A package that breaks a rule of `cryonet.glims_check` is not left.

    Parameters
    ----------
    submission
        Of `cryonet.glims_submission.state_submission`.
    scene
        The folder of the scene, whose item tells the images; by default the one that the
        prediction links to.
    divides, min_area, smooth
        As for `cryonet.outlines_workflow.run_outlines`.

    Returns
    -------
    How many polygons of each line type it holds, and how many lakes were left out.

    Raises
    ------
    SceneError
        If the name is no .zip, or stands there and may not be replaced; if the scene is not
        there or does not tell its images; or if the package would break a rule.
    """
    target = Path(out)
    check_target(target, SUFFIXES, what="packages", overwrite=overwrite)
    progress.step(0, 4, "reading")
    opened = open_map(prediction, divides=divides, scene=scene)
    if opened.scene is None:
        rule = "Its item tells images and days: give --scene."
        raise SceneError("the scene of the prediction is not there", str(prediction), rule)
    item, analysed = read_item(opened.scene), _analysed(prediction)
    images = source_images(item, submission)
    progress.step(1, 4, "drawing outlines")
    geobox, codes = opened.layers.geobox, opened.layers.codes
    drawn = make_outlines(codes, opened.numbers, geobox, min_area=0, smooth=smooth)
    found = glims_outlines(drawn, codes, geobox, min_area=min_area)
    progress.step(2, 4, "measuring glaciers")
    glaciers = _glaciers(drawn, found, opened)
    if glaciers.empty:
        rule = "Give a smaller --min-area, or another map."
        raise SceneError("the map has no glacier to deliver", f"{min_area:g} km² and more", rule)
    place, placed_by = geolocation(images, submission.geolocation, pixel_side(geobox))
    x, y = local_uncertainty(geobox, smooth=smooth)
    facts = Facts(
        _source_day(opened, images),
        analysed,
        {"loc_unc_x": x, "loc_unc_y": y, "glob_unc_x": place, "glob_unc_y": place},
        bool(opened.attrs.get("synthetic")),
    )
    whole, short = describe_processing(
        read_passport(prediction),
        software=f"cryonet {__version__}",
        choices=_choices(opened, (x, y, place), placed_by, min_area, smooth),
    )
    tables = glims_tables(
        found.features,
        glaciers,
        images,
        submission,
        facts,
        footprint=item["geometry"],
        description=short,
    )
    progress.step(3, 4, "writing and reading back")
    with whole_file(target) as work, tempfile.TemporaryDirectory() as folder:
        write_package(tables, whole, work, folder=Path(folder), day=facts.analysed)
        check = check_package(work)
        check.refuse(target.name)
    progress.step(4, 4, "written")
    return check.counts, found.lakes_left_out


def _glaciers(drawn: Outlines, found: GlimsOutlines, opened: OpenedMap) -> pd.DataFrame:
    """Return the attributes of the glaciers that are delivered, with their numbers."""
    kept = found.features.loc[found.features["line_type"] == "glac_bound", "number"]
    own = drawn.glaciers[drawn.glaciers["number"].isin(kept)].reset_index(drop=True)
    parts = drawn.parts[drawn.parts["number"].isin(kept)].reset_index(drop=True)
    outlines = Outlines(own, parts, drawn.lakes)
    table = with_attributes(outlines, opened.numbers, opened.layers)
    if opened.known is not None:
        table = match_inventory(table, opened.known.outlines, opened.known.identifier)
    numbered: pd.DataFrame = table.assign(number=own["number"])
    return numbered


def _source_day(opened: OpenedMap, images: tuple[SourceImage, ...]) -> date:
    """Return the day of the map, which is of one of the images; else that of the last."""
    stated = str(opened.attrs.get("datetime", ""))[:10]
    return next((i.day for i in images if i.day.isoformat() == stated), images[-1].day)


def _analysed(prediction: str | Path) -> date:
    """Return the day on which the prediction was written."""
    file = Path(prediction) / ITEM
    try:
        return date.fromisoformat(str(json.loads(file.read_bytes())["properties"]["created"])[:10])
    except (OSError, ValueError, KeyError, TypeError) as error:
        rule = f"{ITEM} states created; predict anew with this version."
        raise SceneError(
            "the prediction does not tell when it was made", str(prediction), rule
        ) from error


def _choices(
    opened: OpenedMap,
    uncertainty: tuple[float, float, float],
    placed_by: str,
    min_area: float,
    smooth: bool,
) -> list[str]:
    x, y, place = uncertainty
    edges = (
        "Outlines are smoothed by single steps of a pixel; vertices are precise to one pixel"
        if smooth
        else "Outlines run along edges of pixels; vertices are precise to half a pixel"
    )
    divided = (
        "Ice is divided by the outlines of an inventory, and elsewhere by connection."
        if opened.known is not None
        else "Ice is divided by connection alone: glaciers that touch at a divide are one polygon."
    )
    return [
        f"{edges} ({x:.1f} m by {y:.1f} m), which is a choice. Images are placed to {place:g} m: "
        f"{placed_by}.",
        f"{divided} Glaciers and lakes below {min_area:g} km² are left out.",
    ]
