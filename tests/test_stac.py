"""Scenes, predictions and bundles are STAC 1.1 by the rules of every extension they declare.

The rules are those of `stac_rules`; rasterio, pyproj and pystac's extensions read the same again.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import numpy as np
import pyproj
import pystac
import pytest
import rasterio
import spyndex
import xarray as xr
from affine import Affine
from hypothesis import given
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from pystac.extensions.classification import ClassificationExtension
from pystac.extensions.mlm import MLMExtension
from pystac.extensions.projection import ProjectionExtension
from stac_rules import FIELDS, broken_rules, check_core

from cryonet.card import _model_name, mlm_item
from cryonet.classes import CLASSES
from cryonet.config import ModelConfig
from cryonet.errors import BundleError
from cryonet.layers import LAYERS
from cryonet.manifest import LayerEntry, Manifest, SceneRecord, TrainingRecord
from cryonet.map_strips import as_prediction
from cryonet.normalise import LayerStatistics, normalise
from cryonet.prediction import write_prediction
from cryonet.scene import BANDS, open_scene, scene_from_arrays
from cryonet.scene_writer import Storage, add_to_scene, write_scene
from cryonet.sources.local import import_scene
from cryonet.stac import EXTENSIONS, derived_from, grid_fields, optical_fields
from cryonet.synthetic import make_scene

UTM = GeoBox((6, 9), Affine(10, 0, 478000, 0, -10, 3108140), "EPSG:32645")
CODELESS = GeoBox((6, 9), Affine(10, 0, 0, 0, -10, 0), "+proj=laea +lat_0=28 +lon_0=86")
ESRI = GeoBox((6, 9), Affine(10, 0, 0, 0, -10, 0), "ESRI:102025")
DATELINE = GeoBox((50, 40), Affine(1000, 0, 635000, 0, -1000, 6930000), "EPSG:32660")
DEGREES = GeoBox((6, 9), Affine(1e-4, 0, 86.5, 0, -1e-4, 28.0), "EPSG:4326")

# ---- the items


def layers(grid: GeoBox, *names: str) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    values = {name: rng.random(tuple(grid.shape)).astype("float32") for name in names}
    codes = rng.integers(0, 4, tuple(grid.shape)).astype("uint8")
    return {**values, **({"labels": codes} if "labels" in names else {})}


def scene(folder: Path, grid: GeoBox = UTM, names: tuple[str, ...] = BANDS, **attrs: Any) -> Path:
    made = scene_from_arrays(layers(grid, *names), grid, attrs=attrs)
    return write_scene(made, folder, storage={"optical": Storage("uint16", 1e-4, -0.1, 65535)})


def labelled(folder: Path) -> Path:
    path = scene(folder, names=("red", "nir", "elevation", "labels"), synthetic=False)
    added = scene_from_arrays(layers(UTM, "coherence", "phase"), UTM)
    added["coherence"].attrs["looks"] = 4
    return add_to_scene(path, added, properties={"cryonet:sources": [{"file": "pair.tif"}]})


def imported(folder: Path) -> Path:
    file = folder.with_suffix(".tif")
    profile = {"driver": "GTiff", "height": 6, "width": 9, "count": 2, "dtype": "uint16"}
    with rasterio.open(file, "w", **profile, crs="EPSG:32645", transform=UTM.affine) as out:
        out.write(np.random.default_rng(0).integers(1100, 9000, (2, 6, 9)).astype("uint16"))
    bands = {"red": f"{file}:1", "rededge3": f"{file}:2"}
    when = "2020-08-31T10:45:00+05:45"
    return import_scene(
        folder, bands, scale=1e-4, offset=-0.1, acquired=when,
        properties={"platform": "sentinel-2b", "processing:level": "L2A"},
    )  # fmt: skip


def prediction(grid: GeoBox = UTM, classes: int = 3, **attrs: Any) -> xr.Dataset:
    shares = np.random.default_rng(0).dirichlet(np.ones(classes), tuple(grid.shape))
    names = [c.name for c in CLASSES[:classes]]
    made = as_prediction(np.moveaxis(shares, -1, 0).astype("float32"), grid, names)
    return made.assign_attrs(attrs)


def manifest(title: str = "CryoNet demo, synthetic Poiqu", **changes: Any) -> Manifest:
    rows = {"red": (0.3, 0.2), "slope": (20.0, 9.0), "coherence": (0.5, 0.1)}
    known = {
        name: LayerStatistics(mean=mean, std=std, low=mean - std, high=mean + 2 * std, fill=mean)
        for name, (mean, std) in rows.items()
    }
    training = TrainingRecord(
        config={}, seed=3, scenes=(SceneRecord(id="s", sha256="", synthetic=True),), epoch=1,
        epochs=2, interrupted=False, seconds=0, device="cpu",
        versions=changes.pop("versions", {"torch": "2.13.0+cpu"}), metrics={},
    )  # fmt: skip
    return Manifest(
        title=title, created=changes.pop("created", "2026-01-01T00:00:00+00:00"),
        model=ModelConfig(), classes=("other", "clean_ice", "debris"), resolution=10, tile=64,
        layers=tuple(LayerEntry.of(LAYERS[name], stats) for name, stats in known.items()),
        overlap=0.25, parameters=7, weights_sha256="", training=training,
    )  # fmt: skip


def predicted(folder: Path, **attrs: Any) -> Path:
    (folder.parent / "model").mkdir()
    model = folder.parent / "model" / "item.json"
    model.write_text(json.dumps(mlm_item(manifest(), name="model")))
    sources = {"scene": scene(folder.parent / "a b é") / "scene.json", "model": model}
    made = prediction(model="m", scene="s", **attrs)
    return write_prediction(made, folder, passport={}, sources=sources)


def bundle(folder: Path) -> Path:
    folder.mkdir()
    (folder / "item.json").write_text(json.dumps(mlm_item(manifest(), name="bundle")))
    return folder


ITEMS: dict[str, Callable[[Path], Path]] = {
    "imported": imported,
    "synthetic": lambda folder: write_scene(make_scene(64, seed=0), folder),
    "labels and radar": labelled,
    "Sentinel-2A": lambda folder: scene(folder, platform="Sentinel-2A"),
    "time unknown": lambda folder: scene(folder, names=("elevation",)),
    "no code": lambda folder: scene(folder, CODELESS),
    "other authority": lambda folder: scene(folder, ESRI),
    "antimeridian": lambda folder: scene(folder, DATELINE, names=("red",)),
    "prediction": predicted,
    "bundle": bundle,
}


def item_in(folder: Path) -> dict[str, Any]:
    found = [folder / n for n in ("scene.json", "prediction.json", "item.json")]
    return json.loads(next(file for file in found if file.is_file()).read_text())


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: make(tmp_path_factory.mktemp("stac") / "x") for name, make in ITEMS.items()}


# ---- what holds of all of them


@pytest.mark.parametrize("name", ITEMS)
def test_the_item_is_valid(written: dict[str, Path], name: str) -> None:
    item = item_in(written[name])
    check_core(item)
    assert broken_rules(item) == []


@pytest.mark.parametrize("name", [name for name in ITEMS if name != "bundle"])
def test_the_item_says_what_the_files_say(written: dict[str, Path], name: str) -> None:
    """Independent readers: rasterio of the files, pystac's extension of the item."""
    folder = written[name]
    item = pystac.Item.from_dict(item_in(folder))
    proj = ProjectionExtension.ext(item)
    for asset in item.assets.values():
        if "data" not in asset.roles:
            continue
        with rasterio.open(folder / asset.href) as source:
            assert proj.shape == list(source.shape)
            assert proj.transform == list(source.transform)[:6]
            assert proj.bbox == pytest.approx(list(source.bounds))
            crs = pyproj.CRS(source.crs)
            bands = asset.extra_fields["bands"]
            assert [b["name"] for b in bands] == list(source.descriptions)
            assert [b["data_type"] for b in bands] == list(source.dtypes)
            assert [b.get("raster:scale", 1) for b in bands] == list(source.scales)
            assert [b.get("raster:offset", 0) for b in bands] == list(source.offsets)
            nodata = [float(b["nodata"]) for b in bands]
            np.testing.assert_array_equal(nodata, source.nodatavals)
    forms = [proj.code, proj.wkt2, proj.projjson and json.dumps(proj.projjson)]
    assert any(forms)
    for form in filter(None, forms):
        assert pyproj.CRS(form).equals(crs, ignore_axis_order=True)
    middle = source.transform * (source.width / 2, source.height / 2)
    lon, lat = pyproj.Transformer.from_crs(crs, 4326, always_xy=True).transform(*middle)
    assert proj.centroid == pytest.approx({"lat": lat, "lon": lon}, abs=1e-6)
    assert item.properties["gsd"] == source.res[0]


def test_a_crs_has_the_code_of_its_own_authority(written: dict[str, Path]) -> None:
    codes = {name: item_in(path)["properties"].get("proj:code") for name, path in written.items()}
    assert codes["other authority"] == "ESRI:102025"
    assert codes["no code"] is None
    assert codes["prediction"] == codes["imported"] == "EPSG:32645"


@pytest.mark.parametrize(
    ("name", "change", "rule"),
    [
        ("no code", lambda i: i["properties"].pop("proj:wkt2"), "no CRS"),
        ("imported", lambda i: i["properties"].update({"proj:epsg": 32645}), "proj:epsg is unk"),
        ("imported", lambda i: i["properties"].update({"proj:shape": [6.5, 9]}), "proj:shape"),
        ("imported", lambda i: i["stac_extensions"].pop(), "declared"),
        ("time unknown", lambda i: i["stac_extensions"].append(EXTENSIONS["eo"]), "declared"),
        ("imported", lambda i: red(i).update({"eo:common_name": "rededge3"}), "eo:common_name"),
        ("imported", lambda i: red(i).update({"eo:center_wavelength": 665}), "eo:center"),
        ("imported", lambda i: red(i).update({"raster:scale": "1"}), "raster:scale"),
        ("imported", lambda i: i["properties"].update({"processing:software": ["x"]}), "softw"),
        ("synthetic", lambda i: i["properties"].update({"view:sun_azimuth": 361}), "view:sun"),
        ("prediction", lambda i: klass(i).update(color_hint="#d9d4c7"), "classification:classes"),
        ("prediction", lambda i: klass(i).update(name="other ground"), "classification:classes"),
        ("prediction", lambda i: i["properties"].update({"mlm:name": "net"}), "mlm:input is miss"),
        ("bundle", lambda i: i["properties"].update({"mlm:name": "a, b"}), "mlm:name"),
        ("bundle", lambda i: i["properties"].pop("bands"), "a band is not described"),
        ("bundle", lambda i: i["properties"].pop("mlm:pretrained_source"), "not pretrained"),
        ("bundle", lambda i: i["properties"]["mlm:input"][0]["value_scaling"].pop(), "a scaling"),
        ("bundle", lambda i: i["properties"].update({"mlm:framework_version": "2.6"}), "framework"),
        ("bundle", lambda i: i["assets"]["weights"].pop("mlm:artifact_type"), "artifact"),
        ("bundle", lambda i: i["assets"].pop("weights"), "no model"),
    ],
)
def test_the_rules_find_what_is_broken(
    written: dict[str, Path], name: str, change: Callable[[dict[str, Any]], object], rule: str
) -> None:
    item = copy.deepcopy(item_in(written[name]))
    change(item)
    assert any(rule in found for found in broken_rules(item)), broken_rules(item)


def red(item: dict[str, Any]) -> dict[str, Any]:
    return item["assets"]["optical"]["bands"][0]


def klass(item: dict[str, Any]) -> dict[str, Any]:
    return item["assets"]["classes"]["classification:classes"][0]


# ---- what each says


def test_models_are_read_by_the_extensions_own_reader(written: dict[str, Path]) -> None:
    item = pystac.Item.from_dict(item_in(written["bundle"]))
    found = MLMExtension.ext(item)
    assert found.mlm_name == "CryoNet demo synthetic Poiqu"
    assert item.properties["title"] == "CryoNet demo, synthetic Poiqu"
    assert (found.framework, found.framework_version) == ("PyTorch", "2.13.0+cpu")
    assert (found.pretrained, found.pretrained_source) == (False, None)
    assert found.input[0].bands == ["red", "slope", "coherence"]
    assert found.input[0].input.shape == [-1, 3, 64, 64]
    assert found.output[0].result.shape == [-1, 3, 64, 64]
    bands = {band["name"]: band for band in item.properties["bands"]}
    assert bands["red"]["eo:common_name"] == "red"
    assert bands["slope"]["unit"] == "degree"
    assert "eo:common_name" not in bands["slope"]


def test_the_scaling_of_a_model_is_what_is_done(written: dict[str, Path]) -> None:
    values = np.random.default_rng(0).normal(0, 30, (3, 20, 20)).astype("float32")
    wanted, _ = normalise(values, [entry.statistics for entry in manifest().layers])
    rows = item_in(written["bundle"])["properties"]["mlm:input"][0]["value_scaling"]
    for row, layer, result in zip(rows, values, wanted, strict=True):
        made = eval(row["expression"], {"__builtins__": {}, "clip": np.clip, "A": layer})
        np.testing.assert_allclose(made, result, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("version", ["unknown", "2.6", "2.9.0a0+git12", ""])
def test_a_version_of_another_form_is_left_out(version: str) -> None:
    item = mlm_item(manifest(versions={"torch": version}), name="b")
    assert "mlm:framework_version" not in item["properties"]
    assert broken_rules(item) == []


@given(st.text(max_size=30))
def test_every_title_gives_a_name(title: str) -> None:
    assert re.fullmatch(FIELDS["mlm:name"]["pattern"], _model_name(title))


def test_times_are_in_utc(tmp_path: Path, written: dict[str, Path]) -> None:
    assert item_in(written["imported"])["properties"]["datetime"] == "2020-08-31T05:00:00Z"
    item = mlm_item(manifest(created="2026-01-01T05:45:00+05:45"), name="b")
    assert item["properties"]["datetime"] == "2026-01-01T00:00:00Z"
    with pytest.raises(BundleError, match="not ISO 8601"):
        mlm_item(manifest(created="lately"), name="b")
    assert "unknown" in item_in(written["time unknown"])["properties"]["cryonet:datetime"]
    made = write_prediction(prediction(datetime="2020-08-31"), tmp_path / "p", passport={})
    assert item_in(made)["properties"]["datetime"] == "2020-08-31T00:00:00Z"
    assert "cryonet:datetime" not in item_in(made)["properties"]


def test_wavelengths_are_those_of_the_satellite() -> None:
    """Independent reference: spyndex's table of the same satellites."""
    rows = dict(
        zip(
            BANDS,
            ["A", "B", "G", "R", "RE1", "RE2", "RE3", "N", "N2", "WV", "S1", "S2"],
            strict=True,
        )
    )
    for name, key in rows.items():
        band = spyndex.bands[key]
        assert optical_fields(name) == {"eo:common_name": band.common_name}
        assert optical_fields(name, "landsat-8") == optical_fields(name)
        for platform in ("sentinel-2a", "Sentinel-2B"):
            reference = getattr(band, platform.lower().replace("-", ""))
            found = optical_fields(name, platform)
            assert found["eo:center_wavelength"] * 1000 == pytest.approx(reference.wavelength)
            # The two tables round the widths of three bands of 2B apart.
            assert found["eo:full_width_half_max"] * 1000 == pytest.approx(
                reference.bandwidth, abs=1
            )
    assert optical_fields("elevation", "sentinel-2a") == {}


def test_a_scene_has_wavelengths_only_where_its_platform_is_known(
    written: dict[str, Path],
) -> None:
    key = "eo:center_wavelength"
    assert red(item_in(written["imported"]))[key] == 0.665
    assert red(item_in(written["Sentinel-2A"]))[key] == 0.4427
    assert key not in red(item_in(written["synthetic"]))


def test_classes_are_those_of_the_map(written: dict[str, Path]) -> None:
    for name, asset, count in (("prediction", "classes", 3), ("labels and radar", "labels", 4)):
        item = pystac.Item.from_dict(item_in(written[name]))
        found = ClassificationExtension.ext(item.assets[asset]).classes or []
        assert [(c.value, c.name, c.description, c.color_hint) for c in found] == [
            (c.code, c.name, c.title, "{:02x}{:02x}{:02x}".format(*c.rgb)) for c in CLASSES[:count]
        ]


def test_a_prediction_links_to_what_it_is_made_of(written: dict[str, Path]) -> None:
    folder = written["prediction"]
    links = [link for link in item_in(folder)["links"] if link["rel"] == "derived_from"]
    assert [link["title"] for link in links] == ["scene", "model"]
    for link in links:
        assert not urlsplit(link["href"]).scheme and " " not in link["href"]
        assert json.loads((folder / unquote(link["href"])).read_text())["type"] == "Feature"
    stated = item_in(folder)["properties"]
    assert stated["processing:level"] == "L4"
    assert abs(datetime.fromisoformat(stated["created"]) - datetime.now(UTC)) < timedelta(hours=1)


def test_on_another_drive_a_link_is_a_file_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*paths: object) -> str:
        raise ValueError("path is on mount 'C:', start on mount 'D:'")

    monkeypatch.setattr("cryonet.stac.os.path.relpath", refuse)
    (link,) = derived_from({"scene": tmp_path / "a b.json"}, tmp_path)
    assert link.href == (tmp_path / "a b.json").as_uri()


def test_provenance_outlives_a_rewrite(tmp_path: Path, written: dict[str, Path]) -> None:
    stated = {"processing:software": {"Sen2Cor": "02.12"}, "processing:lineage": "by hand"}
    with open_scene(written["imported"]) as opened:
        again = write_scene(opened, tmp_path / "again", properties=stated)
    found = item_in(again)["properties"]
    assert set(found["processing:software"]) == {"Sen2Cor", "cryonet"}
    assert (found["processing:lineage"], found["processing:level"]) == ("by hand", "L2A")
    assert "one pixel grid" in item_in(written["imported"])["properties"]["processing:lineage"]
    assert "not measured" in item_in(written["synthetic"])["properties"]["processing:lineage"]
    assert "processing:lineage" not in item_in(written["antimeridian"])["properties"]


def test_a_scene_from_before_is_read_and_brought_up(tmp_path: Path) -> None:
    """Items of version 0.1.0 had no field of a band beyond scale, offset and nodata."""
    folder = scene(tmp_path / "old", names=("red", "nir"))
    item = item_in(folder)
    for band in item["assets"]["optical"]["bands"]:
        for key in [k for k in band if k.startswith("eo:") or k.endswith("resolution")]:
            del band[key]
    for key in ("proj:bbox", "proj:centroid", "processing:software"):
        del item["properties"][key]
    item["stac_extensions"] = [EXTENSIONS["raster"], EXTENSIONS["proj"]]
    (folder / "scene.json").write_text(json.dumps(item))
    with open_scene(folder) as opened:
        assert list(opened.data_vars) == ["red", "nir"]
    added = scene_from_arrays(layers(UTM, "coherence"), UTM)
    found = item_in(add_to_scene(folder, added, properties={}))
    assert "cryonet" in found["properties"]["processing:software"]
    check_core(found)
    assert broken_rules(found) == []


def test_pixels_in_degrees_are_told_in_metres() -> None:
    """A degree at 28° N is 110.8 km north and 98.4 km east on the ellipsoid."""
    fields = grid_fields(DEGREES)
    assert fields["gsd"] == pytest.approx(1e-4 * np.sqrt(110_830 * 98_400), rel=1e-3)
    assert fields["proj:centroid"] == pytest.approx({"lat": 27.9997, "lon": 86.50045})
