"""From a prediction's folder and polygons drawn by hand to a corrected prediction's folder."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from cryonet import __version__
from cryonet.atomic import check_replaceable, whole_folder
from cryonet.cog import write_cog
from cryonet.correction_record import (
    polygon_rows,
    read_rows,
    round_record,
    summary,
    with_left,
)
from cryonet.corrections import burn_corrections
from cryonet.errors import SceneError
from cryonet.file_hash import file_sha256
from cryonet.grid import geobox_of
from cryonet.prediction import PASSPORT, linked_items, open_prediction, read_passport
from cryonet.prediction_record import ITEM, MODEL, NUMBERS, POLYGONS, PredictionRecord
from cryonet.progress import SILENT, Progress
from cryonet.sources.corrections import read_corrections


@dataclass(frozen=True, slots=True)
class Corrected:
    """What a correction did.

    Attributes
    ----------
    record
        Of this round, as the passport has it.
    rows
        Its polygons, with all that the file keeps of them.
    """

    record: dict[str, Any]
    rows: gpd.GeoDataFrame


def run_correct(
    prediction: str | Path,
    corrections: str | Path,
    out: str | Path,
    *,
    field: str = "class",
    by: str = "",
    comment: str = "",
    overwrite: bool = False,
    progress: Progress = SILENT,
) -> Corrected:
    """Write a prediction with polygons burned into its classes; return what they did.

    The new folder has the model's own files byte for byte: probabilities, confidence,
    disagreement, and its classes as ``model_classes.tif``. ``classes.tif`` has the polygons in
    it, ``corrections.tif`` the number of the polygon that set each pixel (0: the model), and
    ``corrections.gpkg`` the polygons with who, when, why, from which file and what they changed.
    Of a prediction that was corrected before, all of it is kept and numbers go on.

    Parameters
    ----------
    corrections
        A vector file, see `cryonet.sources.corrections.read_corrections` for it, `field`, `by`
        and `comment`.
    out
        The new folder; the prediction's own if that may be replaced.

    Raises
    ------
    SceneError, GridError
        If a polygon cannot be used, or the folder may not be written; nothing is written then.
    """
    target = check_replaceable(out, marker=PASSPORT, overwrite=overwrite, error=SceneError)
    base = Path(prediction)
    progress.step(0, 3, "reading")
    found, passport = open_prediction(base), read_passport(base)
    geobox = geobox_of(found)
    classes = [str(name) for name in found["class"].values]
    given = read_corrections(
        corrections, geobox, classes=classes, field=field, by=by, comment=comment
    )
    progress.step(1, 3, "burning polygons")
    earlier = read_rows(base) if NUMBERS in found else None
    first = 1 + (0 if earlier is None else int(earlier["number"].max()))
    codes, owners, burned = burn_corrections(
        np.asarray(found["classes"].values), _owners(found), given, geobox, first=first
    )
    source = _source(Path(corrections))
    assert geobox.crs is not None
    rows = polygon_rows(
        given, burned, first=first, classes=classes, crs=geobox.crs.proj, source=source
    )
    every = rows if earlier is None else pd.concat([earlier.to_crs(rows.crs), rows])
    origin = {"folder": base.name, "passport_sha256": file_sha256(base / PASSPORT)}
    record = round_record(rows, source, base=origin, version=__version__)
    passport["corrections"] = [*passport.get("corrections", ()), record]
    attrs = {**found.attrs, "corrections": summary(owners, geobox, every)}
    progress.step(2, 3, "writing")
    made = PredictionRecord(geobox, tuple(classes), _shares(found), attrs)
    with whole_folder(target, error=SceneError) as work:
        _copy_model(base, work, made, corrected=earlier is not None)
        _write(made, {"classes": codes, NUMBERS: owners}, work)
        told = with_left(every, owners).assign(synthetic=bool(attrs.get("synthetic")))
        told.to_file(work / POLYGONS, layer="corrections", driver="GPKG")
        made.write_texts(work, target, passport=passport, sources=_sources(base, target))
    progress.step(3, 3, "written")
    return Corrected(record, rows)


def _source(file: Path) -> dict[str, str]:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return {"source": file.name, "sha256": file_sha256(file), "merged": now}


def _owners(found: xr.Dataset) -> NDArray[np.uint32]:
    if NUMBERS in found:
        return np.asarray(found[NUMBERS].values)
    return np.zeros(found["classes"].shape, np.uint32)


def _shares(found: xr.Dataset) -> tuple[str, ...]:
    return tuple(name for name in ("confidence", "disagreement") if name in found)


def _copy_model(base: Path, work: Path, made: PredictionRecord, *, corrected: bool) -> None:
    """Copy what the model made, byte by byte; of a corrected prediction from its own copy."""
    for name in ("probabilities", *made.shares):
        shutil.copy2(base / f"{name}.tif", work / f"{name}.tif")
    shutil.copy2(base / f"{MODEL if corrected else 'classes'}.tif", work / f"{MODEL}.tif")


def _write(made: PredictionRecord, layers: Mapping[str, NDArray[Any]], work: Path) -> None:
    stored = made.rasters()
    for name, values in layers.items():
        write_cog(work / f"{name}.tif", values[None], made.geobox, **stored[name])


def _sources(base: Path, target: Path) -> dict[str, Path]:
    """Return the items that a correction is derived from: those of the base, and the base."""
    found = linked_items(base)
    if base.resolve() != target.resolve():
        found = {**found, "corrected prediction": base / ITEM}
    return found
