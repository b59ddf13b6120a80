"""Explanations on disk: whole or not at all, and the same numbers everywhere."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from made_attribution import FAMILIES, LAYERS, attribution
from rio_cogeo.cogeo import cog_validate

from cryonet.bundle import read_manifest
from cryonet.errors import SceneError
from cryonet.explain import files
from cryonet.explain.files import write_explanation
from cryonet.grid import geobox_of

MANIFEST = read_manifest(Path(__file__).resolve().parents[2] / "data/demo/bundle")
ABOUT = {"manifest": MANIFEST, "scene": {"id": "made", "synthetic": True}}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_explanation(attribution(), tmp_path_factory.mktemp("files") / "why", **ABOUT)


def rows(file: Path) -> list[dict[str, str]]:
    with file.open(newline="", encoding="utf-8") as lines:
        return list(csv.DictReader(lines))


def test_maps_are_cogs_with_what_was_found(folder: Path) -> None:
    made = attribution()
    assert made.maps is not None
    for name, bands in (("attribution", LAYERS), ("families", tuple(made.by_family))):
        file = folder / f"{name}.tif"
        assert cog_validate(str(file), strict=True)[0]
        with rasterio.open(file) as source:
            assert source.descriptions == bands
            assert set(source.units) == {"log-odds"}
            assert set(source.dtypes) == {"float32"}
            assert source.crs == geobox_of(made.maps).crs
            assert source.transform == geobox_of(made.maps).transform
            assert source.tags()["CRYONET_INPUT"] == "synthetic"
            assert source.tags()["CRYONET_METHOD"] == "integrated gradients"
            assert source.tags()["CRYONET_BASELINE"] == "training mean"
            assert "row 110" in source.tags()["CRYONET_QUESTION"]
            found = source.read()
        if name == "attribution":
            assert np.array_equal(found, made.maps.values, equal_nan=True)
        for band, values in zip(bands, found, strict=True):
            total = {**made.by_layer, **made.by_family} if name == "families" else made.by_layer
            assert np.nansum(values, dtype=float) == pytest.approx(total[band], abs=1e-4)


def test_a_family_is_missing_only_where_all_its_layers_are(folder: Path) -> None:
    with rasterio.open(folder / "families.tif") as source:
        optical = source.read(source.descriptions.index("optical") + 1)
    # Of red and nir only nir has a hole.
    assert np.isfinite(optical).all()
    made = attribution()
    assert made.maps is not None
    holed = made.maps.copy()
    holed[:2, 5, 6] = np.nan
    summed = files.family_maps(holed, FAMILIES, ("optical", "coherence"))
    assert np.isnan(summed[0]).sum() == 1
    assert np.isnan(summed[0, 5, 6])
    assert np.isfinite(summed[1]).all()


def test_tables_have_the_totals_their_share_and_what_they_say(folder: Path) -> None:
    made = attribution()
    layers, families = rows(folder / "layers.csv"), rows(folder / "families.csv")
    assert {r["layer"]: float(r["log_odds"]) for r in layers} == made.by_layer
    assert {r["family"]: float(r["log_odds"]) for r in families} == made.by_family
    slope = next(r for r in layers if r["layer"] == "slope")
    assert (slope["title"], slope["family"], slope["units"]) == ("slope", "terrain", "degree")
    for row in layers:
        adds = float(row["log_odds"]) > 0
        says = "adds to" if adds else "speaks against"
        assert row["says"] == f"{says} debris-covered ice"
    shares = sum(float(r["share_of_difference"]) for r in families)
    assert abs(shares - 1) == pytest.approx(made.gap)


def test_the_record_tells_question_answer_and_origin(folder: Path) -> None:
    made, found = attribution(), json.loads((folder / "explanation.json").read_text())
    assert found["question"]["words"] == "Why debris-covered ice at row 110, column 220?"
    assert found["question"]["window"] == {"row": 100, "col": 200, "height": 32, "width": 32}
    assert found["question"]["pixels"] == 1
    assert found["value"] == made.value
    assert found["difference"] == pytest.approx(made.difference)
    assert found["gap"] == made.gap
    assert found["settings"] == {"steps": 32, "missing_families": ["phase"]}
    assert found["model"]["weights_sha256"] == MANIFEST.weights_sha256
    assert found["scene"] == {"id": "made", "synthetic": True}
    assert found["synthetic"] is True
    assert found["checks"] is None
    assert (folder / "explanation.png").read_bytes().startswith(b"\x89PNG")


def test_what_a_method_does_not_give_is_not_written(tmp_path: Path) -> None:
    out = write_explanation(attribution(maps=False), tmp_path / "why", **ABOUT)
    names = {file.name for file in out.iterdir()}
    assert names == {"explanation.json", "explanation.png", "families.csv"}


def test_a_gap_that_is_no_number_is_null(tmp_path: Path) -> None:
    made = attribution()
    out = write_explanation(replace(made, value=made.base), tmp_path / "why", **ABOUT)
    assert json.loads((out / "explanation.json").read_text())["gap"] is None
    assert {r["share_of_difference"] for r in rows(out / "families.csv")} == {""}


def test_checks_and_curves_go_with_it(tmp_path: Path) -> None:
    checks = {"areas": {"deletion": np.float32(0.5)}, "verdict": ("holds",), "rank": float("nan")}
    out = write_explanation(
        attribution(maps=False),
        tmp_path / "why",
        checks=checks,
        curves={"deletion": [1, 0], "insertion": [0, 1]},
        **ABOUT,
    )
    found = json.loads((out / "explanation.json").read_text())["checks"]
    assert found == {"areas": {"deletion": 0.5}, "verdict": ["holds"], "rank": None}


@pytest.mark.parametrize("broken", ["_write_tables", "_write_maps"])
def test_nothing_is_left_when_writing_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    whole = getattr(files, broken)

    def fail(*args: object, **options: object) -> None:
        whole(*args, **options)
        raise OSError("no space left")

    monkeypatch.setattr(files, broken, fail)
    with pytest.raises(SceneError, match=r"cannot be written: .*no space left"):
        write_explanation(attribution(), tmp_path / "why", **ABOUT)
    assert list(tmp_path.iterdir()) == []


def test_only_an_explanation_is_replaced_and_only_if_asked(tmp_path: Path) -> None:
    out = write_explanation(attribution(), tmp_path / "why", **ABOUT)
    with pytest.raises(SceneError, match="exists already"):
        write_explanation(attribution(), out, **ABOUT)
    write_explanation(attribution(maps=False), out, overwrite=True, **ABOUT)
    assert not (out / "attribution.tif").exists()
    other = tmp_path / "other"
    other.mkdir()
    with pytest.raises(SceneError, match=r"Only a folder with explanation\.json"):
        write_explanation(attribution(), other, overwrite=True, **ABOUT)
    assert list(other.iterdir()) == []


def test_more_layers_than_bands_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MAX_BANDS", 5)
    with pytest.raises(SceneError, match="too many layers: 6"):
        write_explanation(attribution(), tmp_path / "why", **ABOUT)
    assert list(tmp_path.iterdir()) == []
