"""Every product read by tools that are not ours: GDAL's commands, rio-cogeo, SQLite, pyproj.

``gdalinfo`` and ``ogrinfo`` are Debian's package gdal-bin. Where they are absent rasterio and
pyogrio read the same files; the names of the tests say which reader it was.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import geopandas as gpd
import numpy as np
import pyarrow.parquet as pq
import pyogrio
import pyproj
import pytest
import rasterio
import shapely
from rio_cogeo.cogeo import cog_validate
from scipy import ndimage
from stac_rules import broken_rules, check_core

from cryonet.change_workflow import run_change
from cryonet.classes import CLASSES
from cryonet.correct_workflow import run_correct
from cryonet.glims_submission import state_submission
from cryonet.glims_workflow import run_glims
from cryonet.outlines_workflow import run_outlines
from cryonet.predict_workflow import run_prediction

DEMO = Path(__file__).resolve().parents[1] / "data" / "demo"
NAMES = [c.name for c in CLASSES]
LAYERS = {"glaciers", "parts", "lakes"}
CRS, WGS84 = pyproj.CRS("EPSG:32645"), pyproj.Geod(ellps="WGS84")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The synthetic demo scene mapped, corrected by hand, and all that is made of both maps."""
    where = tmp_path_factory.mktemp("products")
    maps = {"model": where / "model", "corrected": where / "corrected"}
    run_prediction(DEMO / "bundle", DEMO / "scene", maps["model"], device="cpu")
    with rasterio.open(maps["model"] / "classes.tif") as source:
        left, top = source.transform * (0, 0)
        shape = source.shape
    boxes = [shapely.box(left + 500, top - 900, left + 1100, top - 400).buffer(7), shapely.box(
        left + 2000, top - 2300, left + 2200, top - 2000)]  # fmt: skip
    told = {"class": ["clean_ice", "lake"], "by": ["A. Nalyst", "B. Other"]}
    gpd.GeoDataFrame(told, geometry=boxes, crs=CRS).to_file(where / "edits.gpkg")
    run_correct(maps["model"], where / "edits.gpkg", maps["corrected"])
    for name, folder in maps.items():
        run_outlines(folder, where / f"{name}.gpkg")
        run_outlines(folder, where / f"{name}.parquet")
    submission = state_submission(["Nalyst, A."], "Nalyst, A.", "An Institute")
    run_glims(maps["corrected"], where / "glims.zip", submission)
    run_change(maps["model"], maps["corrected"], where / "change")
    return SimpleNamespace(where=where, shape=shape, **maps)


def by_gdalinfo(path: Path) -> dict:
    done = subprocess.run(["gdalinfo", "-json", path], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    told = json.loads(done.stdout)
    bands = [
        {
            "name": band["description"], "type": band["type"], "nodata": band["noDataValue"],
            "unit": band.get("unit", ""), "scale": band.get("scale", 1),
            "colours": [tuple(c) for c in band.get("colorTable", {}).get("entries", ())],
            "overviews": len(band.get("overviews", ())),
        }
        for band in told["bands"]
    ]  # fmt: skip
    return {
        "bands": bands,
        "size": told["size"],
        "tags": told["metadata"][""],
        "structure": told["metadata"]["IMAGE_STRUCTURE"],
        "crs": told["coordinateSystem"]["wkt"],
    }


def by_rasterio(path: Path) -> dict:
    names = {"uint8": "Byte", "uint32": "UInt32"}
    with rasterio.open(path) as source:
        palette = source.colorinterp[0].name == "palette"
        table = source.colormap(1) if palette else {}
        bands = [
            {
                "name": source.descriptions[n], "type": names[source.dtypes[n]],
                "nodata": source.nodatavals[n], "unit": source.units[n] or "",
                "scale": source.scales[n], "colours": list(table.values()),
                "overviews": len(source.overviews(n + 1)),
            }
            for n in range(source.count)
        ]  # fmt: skip
        return {
            "bands": bands,
            "size": [source.width, source.height],
            "tags": source.tags(),
            "structure": source.tags(ns="IMAGE_STRUCTURE"),
            "crs": source.crs.to_wkt(),
        }


def by_ogrinfo(path: Path) -> dict[str, tuple[int, str]]:
    found = {}
    for layer in pyogrio.list_layers(path)[:, 0]:
        command = ["ogrinfo", "-so", "-ro", path, layer]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        assert "ERROR" not in done.stderr.upper(), done.stderr
        lines = done.stdout.splitlines()
        (count,) = [int(line.split(": ")[1]) for line in lines if line.startswith("Feature Count")]
        found[layer] = (count, " ".join(done.stdout.split()))
    return found


def by_pyogrio(path: Path) -> dict[str, tuple[int, str]]:
    found = {}
    for layer in pyogrio.list_layers(path)[:, 0]:
        told = pyogrio.read_info(path, layer=layer)
        text = " ".join([told["crs"], *(f"{name}:" for name in told["fields"])])
        found[layer] = (told["features"], text)
    return found


# Without GDAL's commands the Python reading stands alone.
RASTER_READERS = [by_rasterio, *([by_gdalinfo] if shutil.which("gdalinfo") else [])]
VECTOR_READERS = [by_pyogrio, *([by_ogrinfo] if shutil.which("ogrinfo") else [])]

ROUND = {"classes": 1, "probabilities": 4, "confidence": 1}
HAND = {"model_classes": 1, "corrections": 1}


def rasters(made) -> dict[Path, int]:
    return (
        {made.model / f"{name}.tif": count for name, count in ROUND.items()}
        | {made.corrected / f"{name}.tif": count for name, count in (ROUND | HAND).items()}
        | {made.where / "change" / "change.tif": 1}
    )


def cells(path: Path) -> np.ndarray:
    with rasterio.open(path) as source:
        return source.read(1)


def test_no_raster_is_left_out(made):
    folders = (made.model, made.corrected, made.where / "change")
    assert {file for folder in folders for file in folder.glob("*.tif")} == set(rasters(made))


def test_rasters_are_cloud_optimised(made):
    for path in rasters(made):
        valid, errors, warnings = cog_validate(path, strict=True, quiet=True)
        assert valid and not errors and not warnings, path.name
    rio = Path(sys.executable).with_name("rio")
    command = [rio, "cogeo", "validate", "--strict", made.corrected / "classes.tif"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "is a valid cloud optimized GeoTIFF" in done.stdout, done.stderr


@pytest.mark.parametrize("read", RASTER_READERS)
def test_rasters_tell_what_they_hold(made, read):
    for path, count in rasters(made).items():
        told = read(path)
        assert told["size"] == [made.shape[1], made.shape[0]] and len(told["bands"]) == count
        assert pyproj.CRS(told["crs"]).to_epsg() == 32645
        assert told["tags"]["CRYONET_INPUT"] == "synthetic"
        assert told["structure"]["LAYOUT"] == "COG"
        band, kind = told["bands"][0], path.stem.removeprefix("model_")
        numbers = kind == "corrections"
        assert band["type"] == ("UInt32" if numbers else "Byte")
        assert {b["nodata"] for b in told["bands"]} == {0 if numbers else 255}
        names = NAMES if kind == "probabilities" else [kind]
        assert [b["name"] for b in told["bands"]] == names
        shares = kind in ("probabilities", "confidence")
        assert {b["scale"] for b in told["bands"]} == {1 / 250 if shares else 1}
        units = {"classes": "class code", "change": "kind", "corrections": "number of the polygon"}
        assert {b["unit"] for b in told["bands"]} == {units.get(kind, "1")}
        if kind == "classes":
            assert [told["tags"][f"CLASS_{c.code}"] for c in CLASSES] == NAMES
            assert band["colours"][:4] == [(*c.rgb, 255) for c in CLASSES]
        assert bool(band["colours"]) == (kind in ("classes", "change"))


def packages(made) -> dict[Path, set[str]]:
    return {
        made.where / "model.gpkg": LAYERS,
        made.where / "corrected.gpkg": LAYERS,
        made.corrected / "corrections.gpkg": {"corrections"},
    }


@pytest.mark.parametrize("read", VECTOR_READERS)
def test_vectors_have_their_layers(made, read):
    fields = {
        "glaciers": ("cryonet_id", "area_km2", "area_pm_prob_km2", "hand_km2", "synthetic"),
        "parts": ("cryonet_id", "class", "area_km2", "synthetic"),
        "lakes": ("area_km2", "hand_km2", "synthetic"),
        "corrections": ("number", "class", "by", "before", "left", "synthetic"),
    }
    for path, layers in packages(made).items():
        found = read(path)
        assert set(found) == layers
        for layer, (count, text) in found.items():
            assert count == len(gpd.read_file(path, layer=layer)) > 0
            assert "UTM zone 45N" in text or "EPSG:32645" in text
            assert all(f"{name}:" in text for name in fields[layer]), (layer, text)


def test_geopackages_are_whole(made):
    for path in packages(made):
        with sqlite3.connect(path) as base:
            assert base.execute("pragma integrity_check").fetchall() == [("ok",)]
            assert base.execute("pragma foreign_key_check").fetchall() == []
            assert base.execute("pragma application_id").fetchone()[0] == int.from_bytes(b"GPKG")
            contents = "select table_name, srs_id from gpkg_contents where data_type = 'features'"
            assert {srs for _, srs in base.execute(contents)} == {32645}
        base.close()
        for layer in packages(made)[path]:
            shapes = gpd.read_file(path, layer=layer).geometry
            assert shapes.is_valid.all() and not shapes.is_empty.any()
            assert set(shapes.geom_type) <= {"Polygon", "MultiPolygon"}


def test_geoparquet_is_the_geopackage(made):
    for name in ("model", "corrected"):
        for layer in LAYERS:
            end = "" if layer == "glaciers" else f"_{layer}"
            path = made.where / f"{name}{end}.parquet"
            told = json.loads(pq.read_schema(path).metadata[b"geo"])
            column = told["columns"][told["primary_column"]]
            assert told["version"].startswith("1.") and column["encoding"] == "WKB"
            assert pyproj.CRS.from_json_dict(column["crs"]) == CRS
            assert set(column["geometry_types"]) <= {"Polygon", "MultiPolygon"}
            table = pq.read_table(path).to_pandas()
            package = gpd.read_file(made.where / f"{name}.gpkg", layer=layer)
            shapes = shapely.from_wkb(table["geometry"])
            assert shapely.equals(shapes, package.geometry.to_numpy()).all()
            np.testing.assert_allclose(table["area_km2"], package["area_km2"])


def test_areas_are_those_on_the_ellipsoid_and_of_the_pixels(made):
    for name, folder in (("model", made.model), ("corrected", made.corrected)):
        codes, whole = cells(folder / "classes.tif"), dict.fromkeys(LAYERS, 0.0)
        for layer in LAYERS:
            table = gpd.read_file(made.where / f"{name}.gpkg", layer=layer)
            # Straight edges of 1 km at most in UTM are straight in degrees to millimetres.
            degrees = table.geometry.to_crs("EPSG:4326")
            areas = [abs(WGS84.geometry_area_perimeter(shape)[0]) / 1e6 for shape in degrees]
            np.testing.assert_allclose(table["area_km2"], areas, rtol=1e-5)
            whole[layer] = sum(areas)
            # On the map: whole pixels, each of 100 m².
            pixels = table.geometry.area / 100
            np.testing.assert_allclose(pixels, np.rint(pixels), atol=1e-6)
        assert whole["parts"] == pytest.approx(whole["glaciers"], rel=1e-6)
        for layer, wanted in (("glaciers", (1, 2)), ("lakes", (3,))):
            # Below 0.01 km², 100 pixels, they are left out; UTM is 3 parts in 10,000 short here.
            numbers, _ = ndimage.label(np.isin(codes, wanted))
            sizes = np.bincount(numbers.ravel())[1:]
            assert whole[layer] == pytest.approx(sizes[sizes >= 100].sum() * 1e-4, rel=1e-3)


def test_what_is_by_hand_is_what_the_polygons_cover(made):
    owners, codes = (cells(made.corrected / f"{n}.tif") for n in ("corrections", "classes"))
    model = cells(made.corrected / "model_classes.tif")
    assert set(np.unique(owners)) == {0, 1, 2}
    np.testing.assert_array_equal(codes[owners == 0], model[owners == 0])
    rows = gpd.read_file(made.corrected / "corrections.gpkg")
    assert rows["left"].tolist() == [(owners == n).sum() for n in rows["number"]]
    for row in rows.rename(columns={"class": "kind"}).itertuples():
        assert (codes[owners == row.number] == NAMES.index(row.kind)).all()
        # A pixel along the edge either way.
        assert abs(row.km2 - row.geometry.area / 1e6) < row.geometry.length * 10 / 1e6
    lakes = gpd.read_file(made.where / "corrected.gpkg", layer="lakes")
    assert lakes["hand_km2"].max() == pytest.approx((owners == 2).sum() * 1e-4)


def test_items_are_stac(made):
    for folder in (made.model, made.corrected):
        item = json.loads((folder / "prediction.json").read_text())
        check_core(item)
        assert broken_rules(item) == []
        held = {file.name for file in folder.iterdir()} - {"prediction.json"}
        assert {asset["href"].removeprefix("./") for asset in item["assets"].values()} == held
        for asset in item["assets"].values():
            path = folder / asset["href"]
            if path.suffix != ".tif":
                continue
            told = by_rasterio(path)["bands"]
            assert [band["name"] for band in told] == [band["name"] for band in asset["bands"]]
            for ours, theirs in zip(asset["bands"], told, strict=True):
                assert ours["nodata"] == theirs["nodata"]
                assert ours.get("raster:scale", 1) == theirs["scale"]


def test_the_glims_package_reads_plainly(made, tmp_path):
    with zipfile.ZipFile(made.where / "glims.zip") as archive:
        assert archive.testzip() is None
        archive.extractall(tmp_path)
    tables = {file.stem: pyogrio.read_dataframe(file) for file in tmp_path.glob("*.shp")}
    assert set(tables) == {"session", "glaciers", "segments", "images"}
    for table in tables.values():
        assert table.crs.to_epsg() == 4326 and len(table) and table.is_valid.all()
    drawn = tables["glaciers"]
    bounds = drawn[drawn["line_type"] == "glac_bound"].geometry
    glaciers = gpd.read_file(made.where / "corrected.gpkg", layer="glaciers")
    assert len(bounds) == len(glaciers)
    areas = [abs(WGS84.geometry_area_perimeter(shape)[0]) / 1e6 for shape in bounds]
    # Lakes that lie on a glacier are within its bounds here.
    assert sum(areas) >= glaciers["area_km2"].sum() * (1 - 1e-3)
