"""The page itself: everything about a prediction in one HTML file that asks for nothing else."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from importlib.resources import files as package_files
from math import isfinite
from typing import Any

import pandas as pd
from jinja2 import BaseLoader, Environment, StrictUndefined, TemplateNotFound
from markupsafe import Markup

from cryonet import __version__
from cryonet.classes import CLASSES
from cryonet.confidence import LOW
from cryonet.plotting.maps import MISSING
from cryonet.prediction_files import PredictionFiles
from cryonet.remarks import prediction_remarks
from cryonet.report import facts
from cryonet.report.card import card_html
from cryonet.report.charts import draw_charts
from cryonet.report.frame import frame_map
from cryonet.report.measures import KINDS, Figures
from cryonet.report.origins import BundleUnder, SceneUnder
from cryonet.report.pictures import HAND, MOST_OF_CARDS, RAMP, WRONG, draw_maps
from cryonet.report.told import PassportTold

#: By this a file is known as a report: it stands in its first bytes.
MARK = '<meta name="generator" content="cryonet report'

#: More polygons than this are counted and not listed: their file has them all.
MOST_POLYGONS = 200


@dataclass(frozen=True, slots=True)
class Origins:
    """What a prediction is from: what its passport tells, and what is still there of it.

    `remarks` say what is not. `polygons` are those of a corrected prediction, see
    `cryonet.correction_record.read_rows`.
    """

    told: PassportTold
    scene: SceneUnder | None
    bundles: Sequence[BundleUnder]
    remarks: Sequence[str]
    polygons: pd.DataFrame | None = None


def render_page(
    files: PredictionFiles,
    origins: Origins,
    figures: Figures,
    *,
    correlation: float,
    buffer: float,
) -> str:
    """Return the page as HTML.

    What comes from files is escaped. The page forbids its browser every request.

    Parameters
    ----------
    correlation, buffer
        With which the areas were measured; see `cryonet.areas`.
    """
    script = _text("page.js")
    return (
        _environment()
        .get_template("page.html")
        .render(
            mark=Markup(MARK),
            version=__version__,
            made=datetime.now(UTC).date().isoformat(),
            script=Markup(script),
            script_hash=b64encode(sha256(script.encode()).digest()).decode(),
            style=Markup(_text("page.css")),
            maps=draw_maps(files, origins.scene),
            frame=frame_map(files.geobox),
            classes=CLASSES[: len(files.classes)],
            titles={entry.name: entry.title for entry in CLASSES},
            missing=MISSING,
            ramp=RAMP,
            colours={"wrong": WRONG, "hand": HAND},
            figures=figures,
            charts=draw_charts(figures),
            kinds=KINDS,
            low=LOW,
            correlation=correlation,
            buffer=buffer,
            cards=list(_cards(origins.bundles)),
            **_told(files, origins),
        )
    )


def _cards(bundles: Sequence[BundleUnder]) -> Iterator[tuple[str, Markup]]:
    for bundle in bundles:
        yield bundle.title, card_html(bundle.path, most=MOST_OF_CARDS // len(bundles))


def _told(files: PredictionFiles, origins: Origins) -> dict[str, Any]:
    """Return what passport and scene tell, by its name in the template."""
    scene, told = origins.scene, origins.told
    made, models = told.prediction, told.models
    stated = scene.item["properties"] if scene else {}
    name = made.scene or told.scene.id or "unknown scene"
    return {
        "title": str(stated.get("title") or name),
        "scene_id": name,
        "date": facts.day_and_minute(str(made.datetime or stated.get("datetime") or "")),
        "model": made.model or "unknown model",
        "synthetic_scene": told.scene.synthetic or bool(stated.get("synthetic")),
        "synthetic_model": any(model.synthetic for model in models),
        "synthetic": made.synthetic,
        "remarks": _remarks(told, stated.get("cryonet:remarks"), origins.remarks),
        "calibrated": told.calibrated,
        "settings": facts.settings_rows(files, told),
        "models": [(facts.model_rows(one), facts.layers_by_family(one)) for one in models],
        "hashes": list(told.scene.files.items()),
        "warps": [facts.short_values(warp) for warp in told.scene.warps],
        "versions": list(told.versions.items()),
        "citations": [text.format(version=__version__) for text in facts.CITATIONS],
        "sources": facts.source_rows(scene),
        "source_files": facts.source_files(scene),
        "of_paper": any(one.network.get("architecture") == "cryonet" for one in models),
        "command": facts.command_of(files, told, scene, origins.bundles),
        **_by_hand(told, origins.polygons),
    }


def _by_hand(told: PassportTold, polygons: pd.DataFrame | None) -> dict[str, Any]:
    """Return who drew over the map, and when."""
    drawn = [] if polygons is None else facts.polygon_rows(polygons[:MOST_POLYGONS])
    return {
        "rounds": facts.round_rows(told.corrections),
        "round_hashes": [(one.source, one.sha256) for one in told.corrections],
        "polygons": drawn,
        "polygons_left_out": 0 if polygons is None else len(polygons) - len(drawn),
    }


def _remarks(told: PassportTold, of_scene: Any, more: Sequence[str]) -> list[str]:
    texts = of_scene if isinstance(of_scene, list) else []
    found = [f"Of the scene: {text}" for text in texts if isinstance(text, str)]
    return [*prediction_remarks(told.prediction.model_dump(exclude_none=True)), *more, *found]


def _km2(value: float, deviation: float | None = None) -> str:
    """Return an area in km², as exact as its deviation asks for; little does not read 0.

    It has three decimals below 1 km² of deviation, or below 100 km² where none is given, and one
    above.
    """
    fine = value < 100 if deviation is None else deviation < 1
    if fine and 0 < value < 0.0005:
        return "< 0.001"
    return f"{value:,.3f}" if fine else f"{value:,.1f}"


def _share(value: float) -> str:
    """Return a share in per cent; small ones that are not nothing do not read 0."""
    if not isfinite(value):
        return "–"
    text = f"{value:.1%}"
    return "< 0.1%" if text == "0.0%" and value > 0 else text


def _score(value: float) -> str:
    return f"{value:.3f}" if isfinite(value) else "–"


class _Packaged(BaseLoader):
    """Finds templates beside this file."""

    def get_source(self, environment: Environment, template: str) -> tuple[str, None, None]:
        if not template.endswith(".html"):
            raise TemplateNotFound(template)
        return _text(template), None, None


@cache
def _environment() -> Environment:
    made = Environment(
        loader=_Packaged(),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"km2": _km2, "share": _share, "score": _score}
    return made


def _text(name: str) -> str:
    return package_files("cryonet.report").joinpath(name).read_text(encoding="utf-8")
