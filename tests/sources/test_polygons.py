"""Outlines of any CRS come to the grid, mended and counted, or are refused."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pyogrio
import pytest
from affine import Affine
from odc.geo.geobox import GeoBox
from pyproj import Transformer
from shapely import LineString, MultiPolygon, Point, Polygon, box

from cryonet.errors import GridError, SceneError
from cryonet.sources import polygons
from cryonet.sources.polygons import read_polygons

MakeOutlines = Callable[..., Path]
GRID = GeoBox((40, 50), Affine(10, 0, 478000, 0, -10, 3108140), "EPSG:32645")
SQUARE = box(478100, 3107900, 478300, 3108000)
BOW_TIE = Polygon([(478100, 3107900), (478300, 3108000), (478300, 3107900), (478100, 3108000)])


@pytest.mark.parametrize("name", ["a.gpkg", "a.shp", "a.geojson", "ice é b.gpkg"])
@pytest.mark.parametrize("to", [None, "EPSG:4326"])
def test_every_kind_gives_the_same_outline(
    outlines: MakeOutlines, name: str, to: str | None
) -> None:
    if name.endswith(".geojson"):
        to = "EPSG:4326"  # RFC 7946 knows no other
    found = read_polygons(outlines(name, [SQUARE], to=to), GRID)
    assert len(found.shapes) == 1
    assert found.crs == (to or "EPSG:32645")
    assert found.mended == found.skipped == 0
    assert found.shapes[0].symmetric_difference(SQUARE).area < 1


@pytest.mark.parametrize("name", ["a.gpkg", "a.shp", "a.geojson"])
def test_a_zip_of_one_is_read(outlines: MakeOutlines, tmp_path: Path, name: str) -> None:
    path = outlines(name, [SQUARE], to="EPSG:4326")
    packed = tmp_path / "outlines.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for file in tmp_path.glob("a.*"):
            archive.write(file, f"folder/{file.name}")
    found = read_polygons(packed, GRID)
    assert found.shapes[0].symmetric_difference(SQUARE).area < 1
    assert path.exists()


def test_invalid_polygons_are_mended_and_counted(outlines: MakeOutlines) -> None:
    found = read_polygons(outlines("a.gpkg", [BOW_TIE, SQUARE]), GRID)
    assert found.mended == 1
    assert len(found.shapes) == 2
    assert all(shape.is_valid for shape in found.shapes)
    # Two triangles with their tips together.
    assert found.shapes[0].area == pytest.approx(SQUARE.area / 2)


def test_a_spike_left_by_mending_is_dropped(outlines: MakeOutlines) -> None:
    spike = Polygon(
        [
            (478100, 3107900),
            (478300, 3107900),
            (478300, 3108000),
            (478300, 3108100),
            (478300, 3108000),
            (478100, 3108000),
        ]
    )
    found = read_polygons(outlines("a.gpkg", [spike]), GRID)
    assert found.mended == 1
    assert found.shapes[0].geom_type in ("Polygon", "MultiPolygon")
    assert found.shapes[0].area == pytest.approx(SQUARE.area)


def test_points_and_lines_are_left_out_and_counted(outlines: MakeOutlines) -> None:
    mixed = [SQUARE, Point(478100, 3107900), LineString([(478100, 3107900), (478200, 3107900)])]
    found = read_polygons(outlines("a.gpkg", mixed), GRID)
    assert len(found.shapes) == 1
    assert found.skipped == 2


def test_holes_and_parts_are_kept(outlines: MakeOutlines) -> None:
    hole = box(478150, 3107940, 478200, 3107960)
    parts = MultiPolygon([SQUARE - hole, box(478350, 3107900, 478360, 3107910)])
    found = read_polygons(outlines("a.gpkg", [parts]), GRID)
    assert sum(s.area for s in found.shapes) == pytest.approx(parts.area)


def test_far_polygons_are_left_aside(outlines: MakeOutlines) -> None:
    far = box(10, 46, 11, 47)
    path = outlines("a.gpkg", [box(86.77, 28.08, 86.79, 28.1), far], crs="EPSG:4326")
    assert len(read_polygons(path, GRID).shapes) == 1


def test_long_edges_follow_their_own_map(outlines: MakeOutlines) -> None:
    """A parallel over ten degrees bows by kilometres on the UTM map."""
    path = outlines("a.gpkg", [box(82, 28.05, 92, 28.09)], crs="EPSG:4326")
    shape = read_polygons(path, GRID).shapes[0]
    top = GRID.extent.to_crs("EPSG:4326").boundingbox.top
    assert top > 28.09  # the outline's upper edge crosses the grid
    # 28.09° north at the grid's middle, from the transformation itself.
    forward = Transformer.from_crs("EPSG:4326", "EPSG:32645", always_xy=True)
    _, north = forward.transform(86.7785, 28.09)
    x, _ = forward.transform(86.7785, 28.09)
    assert shape.contains(Point(x, north - 2))
    assert not shape.contains(Point(x, north + 2))


def test_no_crs_is_refused(outlines: MakeOutlines) -> None:
    for name in ("a.gpkg", "a.shp"):
        with pytest.warns(UserWarning, match="crs"):
            path = outlines(name, [SQUARE], crs=None)
        with pytest.raises(SceneError, match="no CRS"):
            read_polygons(path, GRID)


def test_no_polygons_is_refused(outlines: MakeOutlines) -> None:
    with pytest.raises(SceneError, match="no polygons"):
        read_polygons(outlines("a.gpkg", [Point(478100, 3107900)]), GRID)


def test_no_overlap_is_refused(outlines: MakeOutlines) -> None:
    path = outlines("a.gpkg", [box(10, 46, 11, 47)], crs="EPSG:4326")
    with pytest.raises(GridError, match="do not overlap") as caught:
        read_polygons(path, GRID)
    assert "EPSG:4326" in str(caught.value.value)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SceneError, match="does not exist"):
        read_polygons(tmp_path / "no.gpkg", GRID)


OGR_VRT = (
    '<OGRVRTDataSource><OGRVRTLayer name="a"><SrcDataSource>/etc/passwd</SrcDataSource>'
    "</OGRVRTLayer></OGRVRTDataSource>"
)
PIPELINE = '{"type": "gdal_streamed_alg", "command_line": "gdal vector pipeline ! read b.gpkg"}'


@pytest.mark.parametrize("name", ["a.gpkg", "a.shp", "a.geojson", "a.json", "a.csv", "a.tif"])
@pytest.mark.parametrize("content", [OGR_VRT, PIPELINE, "no outlines", "[1, 2]", "[" * 100_000, ""])
def test_what_is_no_vector_file_is_refused(tmp_path: Path, name: str, content: str) -> None:
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(SceneError, match="not a vector file of a known kind"):
        read_polygons(path, GRID)


def test_a_geojson_with_two_faces_is_read_as_geojson(tmp_path: Path) -> None:
    """Of two `type` keys Python sees the last; GDAL must not see a pipeline in the first."""
    ring = [[86.77, 28.08], [86.79, 28.08], [86.79, 28.1], [86.77, 28.08]]
    feature = {
        "type": "Feature",
        "properties": {},
        "geometry": {"type": "Polygon", "coordinates": [ring]},
    }
    body = json.dumps({"type": "FeatureCollection", "features": [feature]})
    path = tmp_path / "a.geojson"
    path.write_text(PIPELINE[:-1] + ", " + body[1:])
    try:
        found = read_polygons(path, GRID)
    except SceneError:
        return
    assert len(found.shapes) == 1


def test_a_damaged_geopackage_is_refused(outlines: MakeOutlines) -> None:
    path = outlines("a.gpkg", [SQUARE])
    whole = path.read_bytes()
    path.write_bytes(whole[:5000])
    with pytest.raises(SceneError, match="damaged"):
        read_polygons(path, GRID)


def test_several_layers_are_refused_and_named(outlines: MakeOutlines, tmp_path: Path) -> None:
    path = outlines("a.gpkg", [SQUARE])
    frame = gpd.GeoDataFrame({"n": [1]}, geometry=[SQUARE], crs="EPSG:32645")
    frame.to_file(path, layer="lakes", mode="a")
    with pytest.raises(SceneError, match="several layers") as caught:
        read_polygons(path, GRID)
    assert "lakes" in str(caught.value.value)


def test_a_table_beside_the_outlines_is_no_layer(outlines: MakeOutlines) -> None:
    """Styles are kept in a table without geometry."""
    path = outlines("a.gpkg", [SQUARE])
    pyogrio.write_dataframe(pd.DataFrame({"qml": ["<qgis/>"]}), path, layer="styles", append=False)
    assert len(read_polygons(path, GRID).shapes) == 1


def test_a_zip_of_two_is_refused(outlines: MakeOutlines, tmp_path: Path) -> None:
    for name in ("a.gpkg", "b.gpkg"):
        outlines(name, [SQUARE])
    packed = tmp_path / "outlines.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for name in ("a.gpkg", "b.gpkg"):
            archive.write(tmp_path / name, name)
    with pytest.raises(SceneError, match="does not hold one vector file"):
        read_polygons(packed, GRID)


def test_a_zip_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    path.write_bytes(b"PK\x03\x04 and nothing more")
    with pytest.raises(SceneError, match="ZIP archive is damaged"):
        read_polygons(path, GRID)


def test_a_zip_that_swells_is_refused(
    outlines: MakeOutlines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(polygons, "MAX_UNPACKED", 1000)
    packed = tmp_path / "a.zip"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(outlines("a.gpkg", [SQUARE]), "a.gpkg")
    with pytest.raises(SceneError, match="unpacks to too much"):
        read_polygons(packed, GRID)


def test_a_zip_cannot_write_outside(tmp_path: Path, outlines: MakeOutlines) -> None:
    packed = tmp_path / "a.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.write(outlines("a.gpkg", [SQUARE]), "../../escaped.gpkg")
    before = sorted(p.name for p in tmp_path.parent.iterdir())
    assert len(read_polygons(packed, GRID).shapes) == 1
    assert sorted(p.name for p in tmp_path.parent.iterdir()) == before
    assert np.all([p.name != "escaped.gpkg" for p in tmp_path.rglob("*")])
