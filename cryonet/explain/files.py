"""The explanation as a folder of files: maps, tables, a record and a picture."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from odc.geo.geobox import GeoBox

from cryonet.atomic import check_replaceable, whole_folder
from cryonet.band import Band
from cryonet.cog import MAX_BANDS, origin_tags, write_cog
from cryonet.errors import SceneError
from cryonet.explain.attribution import Attribution
from cryonet.explain.stages import StageAttribution
from cryonet.explain.words import answer, asked, family_title, layer_title, ranked, signs
from cryonet.grid import geobox_of
from cryonet.layers import LAYERS
from cryonet.manifest import Manifest

RECORD = "explanation.json"

#: Dots an inch of the picture.
_DPI = 110


def write_explanation(
    attribution: Attribution,
    out: str | Path,
    *,
    manifest: Manifest,
    scene: Mapping[str, Any],
    values: NDArray[np.float32] | None = None,
    checks: Mapping[str, Any] | None = None,
    curves: Mapping[str, Any] | None = None,
    stages: StageAttribution | None = None,
    overwrite: bool = False,
) -> Path:
    """Write an explanation's folder, whole or not at all; return it.

    It holds ``explanation.json`` (question, evidence, completeness, settings, model, scene,
    checks), ``explanation.png``, ``families.csv`` and, if the method answers for layers,
    ``layers.csv``; if it gives maps, ``attribution.tif`` (a band a layer) and
    ``families.tif`` (a band a family, their sums), COGs of float32 in log-odds.

    Parameters
    ----------
    manifest
        Of the model.
    scene
        The scene's attributes: its ``id``, and whether it is ``synthetic``.
    values
        The layers ``(layer, y, x)`` in their own units, NaN where missing, for the picture.
    checks
        What checks of the explanation found, as plain values.
    curves
        The arguments of `cryonet.plotting.plot_curves`.
    stages
        Of the same question: ``stages.tif``, a band an encoder stage, and ``stages.png``.

    Raises
    ------
    SceneError
        If the folder exists and is not an explanation, or may not be replaced, or there are
        more layers than a file may have bands.
    """
    from cryonet.plotting.explanation import explanation_figure
    from cryonet.plotting.stages import plot_stages

    target = check_replaceable(out, marker=RECORD, overwrite=overwrite, error=SceneError)
    if len(attribution.layers) > MAX_BANDS:
        rule = f"At most {MAX_BANDS} are written: what has more is not read."
        raise SceneError("the explanation has too many layers", len(attribution.layers), rule)
    synthetic = bool(scene.get("synthetic")) or manifest.synthetic
    note = f"scene {scene.get('id', 'scene')}, model {manifest.title}"
    page = explanation_figure(
        attribution,
        values,
        curves=curves,
        note=f"{note}; synthetic data, nothing of real glaciers" if synthetic else note,
    )
    record = _record(attribution, manifest, scene, checks)
    if stages is not None:
        record["stages"] = {
            "method": stages.method,
            "by_stage": stages.by_stage,
            "seconds": stages.seconds,
        }
    with whole_folder(target, error=SceneError) as work:
        _write_maps(attribution, work, synthetic=synthetic)
        _write_tables(attribution, work)
        text = json.dumps(record, indent=2, allow_nan=False, ensure_ascii=False)
        (work / RECORD).write_text(text + "\n", encoding="utf-8")
        page.savefig(work / "explanation.png", dpi=_DPI)
        if stages is not None:
            tags = {"CRYONET_METHOD": stages.method, **origin_tags({"synthetic": synthetic})}
            values = np.asarray(stages.maps.values, np.float32)
            names = tuple(stages.by_stage)
            _write(work / "stages.tif", values, geobox_of(stages.maps), names, tags)
            plot_stages(stages).savefig(work / "stages.png", dpi=_DPI)
    return target


def _write_maps(attribution: Attribution, work: Path, *, synthetic: bool) -> None:
    if attribution.maps is None:
        return
    geobox, shares = geobox_of(attribution.maps), np.asarray(attribution.maps.values, np.float32)
    tags = {
        "CRYONET_QUESTION": asked(attribution.question),
        "CRYONET_METHOD": attribution.method,
        "CRYONET_BASELINE": attribution.baseline,
        **origin_tags({"synthetic": synthetic}),
    }
    families = tuple(attribution.by_family)
    summed = family_maps(attribution.maps, attribution.families, families)
    _write(work / "attribution.tif", shares, geobox, attribution.layers, tags)
    _write(work / "families.tif", summed, geobox, families, tags)


def _write(
    file: Path,
    shares: NDArray[np.float32],
    geobox: GeoBox,
    names: tuple[str, ...],
    tags: Mapping[str, str],
) -> None:
    bands = [Band(name, "log-odds") for name in names]
    write_cog(file, shares, geobox, bands, nodata=math.nan, tags=tags, resampling="average")


def family_maps(
    maps: xr.DataArray, members: tuple[str, ...], families: tuple[str, ...]
) -> NDArray[np.float32]:
    """Return the sums ``(family, y, x)`` of maps of layers; NaN where a family has no layer.

    Parameters
    ----------
    members
        The family of each layer, in order.
    """
    found = np.full((len(families), *maps.shape[1:]), np.nan, np.float32)
    for number, family in enumerate(families):
        own = np.asarray(maps.values[[name == family for name in members]], np.float64)
        held = np.isfinite(own).any(axis=0) if len(own) else np.zeros(maps.shape[1:], bool)
        found[number][held] = np.nansum(own, axis=0)[held]
    return found


def _write_tables(attribution: Attribution, work: Path) -> None:
    family_of = dict(zip(attribution.layers, attribution.families, strict=True))
    if attribution.by_layer:
        rows: list[list[Any]] = []
        for name, value in ranked(attribution.by_layer):
            units = LAYERS[name].units if name in LAYERS else ""
            told = [name, layer_title(name), family_of[name], units]
            rows.append([*told, *_numbers(attribution, value)])
        _write_csv(work / "layers.csv", ["layer", "title", "family", "units"], rows)
    rows = [
        [name, family_title(name), *_numbers(attribution, value)]
        for name, value in ranked(attribution.by_family)
    ]
    _write_csv(work / "families.csv", ["family", "title"], rows)


def _numbers(attribution: Attribution, value: float) -> list[Any]:
    """Return a total, its share of what was to be shared out, and what it says."""
    whole = attribution.difference
    adds, against = signs(attribution.question)
    says = adds if value > 0 else against if value < 0 else ""
    return [float(value), float(value / whole) if whole else "", says]


def _write_csv(file: Path, heads: list[str], rows: list[list[Any]]) -> None:
    with file.open("w", newline="", encoding="utf-8") as lines:
        writer = csv.writer(lines, lineterminator="\n")
        writer.writerow([*heads, "log_odds", "share_of_difference", "says"])
        writer.writerows(rows)


def _record(
    attribution: Attribution,
    manifest: Manifest,
    scene: Mapping[str, Any],
    checks: Mapping[str, Any] | None,
) -> dict[str, Any]:
    question = attribution.question
    record = {
        "format": "cryonet-explanation/1",
        "question": {
            "words": asked(question),
            "label": question.label,
            "target": question.target,
            "against": question.against,
            "window": asdict(question.window),
            "pixels": np.count_nonzero(question.weights > 0),
            "held_against_pixels": np.count_nonzero(question.weights < 0),
        },
        "answer": answer(attribution),
        "method": attribution.method,
        "baseline": attribution.baseline,
        "unit": "log-odds",
        "value": attribution.value,
        "base": attribution.base,
        "difference": attribution.difference,
        "gap": attribution.gap,
        "seconds": attribution.seconds,
        "by_family": attribution.by_family,
        "by_layer": attribution.by_layer,
        "settings": attribution.attrs,
        "model": {
            "title": manifest.title,
            "weights_sha256": manifest.weights_sha256,
            "synthetic": manifest.synthetic,
        },
        "scene": {"id": scene.get("id", "scene"), "synthetic": bool(scene.get("synthetic"))},
        "synthetic": bool(scene.get("synthetic")) or manifest.synthetic,
        "checks": checks,
    }
    plain = _plain(record)
    assert isinstance(plain, dict)
    return plain


def _plain(value: Any) -> Any:
    """Return a value as JSON can hold it: no NumPy, null for what is no number."""
    if isinstance(value, Mapping):
        return {str(key): _plain(held) for key, held in value.items()}
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, (list, tuple)):
        return [_plain(held) for held in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, (str, int, bool)) else str(value)
