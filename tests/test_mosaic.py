"""A mosaic of predictions: of each pixel the surest map, warped to its nearest pixel."""

from __future__ import annotations

import json
from itertools import permutations

import numpy as np
import pytest
import rasterio
import rasterio.merge
import rasterio.warp
import xarray as xr
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr
from rio_cogeo.cogeo import cog_validate
from stac_rules import broken_rules, check_core

from cryonet import mosaic_workflow
from cryonet.errors import CryonetError, GridError, SceneError
from cryonet.mosaic_grid import mosaic_grid
from cryonet.mosaic_workflow import run_mosaic
from cryonet.passport import split_mask
from cryonet.prediction import open_prediction, read_passport, write_prediction

UTM45, UTM44 = "EPSG:32645", "EPSG:32644"
NAMES = ("other", "clean_ice", "debris")
#: Zones 44 and 45 meet at 84° E: here in the one and in the other.
EDGE45, EDGE44 = (205_000, 3_100_000), (795_000, 3_100_000)


def box(left, top, height, width, *, cell=10.0, crs=UTM45):
    return GeoBox.from_bbox(
        (left, top - height * cell, left + width * cell, top), crs=crs, resolution=cell, tight=True
    )


def made(folder, geobox, seed, *, confidence=None, holes=True, names=NAMES, **attrs):
    """Write a made-up prediction with holes; its confidences lie on the steps they are kept in."""
    generator = np.random.default_rng(seed)
    shape = tuple(geobox.shape)
    shares = generator.dirichlet(np.ones(len(names)), shape).transpose(2, 0, 1).astype(np.float32)
    sure = generator.integers(0, 251, shape) / 250 if confidence is None else confidence
    gone = (generator.random(shape) < 0.3) & holes
    layers = {
        "classes": wrap_xr(np.where(gone, 255, shares.argmax(0)).astype(np.uint8), geobox),
        "confidence": wrap_xr(np.where(gone, np.nan, sure).astype(np.float32), geobox),
        "probabilities": wrap_xr(
            np.where(gone, np.nan, shares), geobox, axis=1, dims=("class", "y", "x")
        ).assign_coords({"class": list(names)}),
    }
    about = {"scene": folder.name, "synthetic": 1, "model": "m", "seconds": seed,
             "datetime": f"2023-08-{seed + 1:02d}T00:00:00+00:00"}  # fmt: skip
    found = xr.Dataset(layers, attrs=about | attrs)
    scene = {"scene": {"id": folder.name, "files": {}}}
    write_prediction(found, folder, passport={"bundle": {"title": "m"}, "settings": {}, **scene})
    return folder


def pixels(folder, name):
    with rasterio.open(folder / f"{name}.tif") as source:
        return source.read()


@pytest.fixture
def three(tmp_path):
    """Three that overlap on one grid, whose lines are not on multiples of a pixel."""
    boxes = {"a": box(300_003, 3_100_007, 60, 70), "b": box(300_403, 3_099_807, 50, 61),
             "c": box(299_853, 3_099_957, 33, 90)}  # fmt: skip
    return [made(tmp_path / n, b, seed) for seed, (n, b) in enumerate(boxes.items())]


def test_each_pixel_is_of_the_surest(three, tmp_path):
    """Against a stack of all maps, padded, and the place of the highest confidence in it."""
    out = run_mosaic(three, tmp_path / "mosaic")
    sources = [rasterio.open(part / "confidence.tif") for part in three]
    _, transform = rasterio.merge.merge(sources)
    with rasterio.open(out / "classes.tif") as source:
        assert source.transform.almost_equals(transform, 1e-6)
        shape = source.shape
    sure = np.full((3, *shape), -1.0)
    whole = {name: np.full((3, bands, *shape), 255) for name, bands in
             (("classes", 1), ("confidence", 1), ("probabilities", 3))}  # fmt: skip
    for number, (part, source) in enumerate(zip(three, sources, strict=True)):
        col, row = (round(v) for v in ~transform * (source.transform.c, source.transform.f))
        at = np.s_[row : row + source.height, col : col + source.width]
        for name, stacked in whole.items():
            stacked[number][(slice(None), *at)] = pixels(part, name)
        known = pixels(part, "classes")[0] != 255
        sure[number][at] = np.where(known, pixels(part, "confidence")[0].astype(float), -1)
        source.close()
    first = sure.argmax(0)
    for name, stacked in whole.items():
        wanted = np.take_along_axis(stacked, first[None, None], 0)[0]
        np.testing.assert_array_equal(pixels(out, name), wanted)
    assert (pixels(out, "classes") == 255).any()


def test_of_equals_the_first_as_rasterio_merges(tmp_path):
    boxes = [box(300_000, 3_100_000, 40, 40), box(300_200, 3_099_900, 40, 40)]
    parts = [made(tmp_path / str(n), b, n, confidence=0.5) for n, b in enumerate(boxes)]
    for order in permutations(parts):
        out = run_mosaic(order, tmp_path / "mosaic", overwrite=True)
        for name in ("classes", "probabilities", "confidence"):
            with (
                rasterio.open(order[0] / f"{name}.tif") as a,
                rasterio.open(order[1] / f"{name}.tif") as b,
            ):
                np.testing.assert_array_equal(pixels(out, name), rasterio.merge.merge([a, b])[0])


def test_of_one_it_is_that_one_and_order_does_not_matter(three, tmp_path):
    out = run_mosaic(three[:1], tmp_path / "one")
    for name in ("classes", "probabilities", "confidence"):
        np.testing.assert_array_equal(pixels(out, name), pixels(three[0], name))
    assert open_prediction(out).odc.geobox == open_prediction(three[0]).odc.geobox


def test_rows_at_a_time_it_is_the_same(three, tmp_path, monkeypatch):
    far = made(tmp_path / "far", box(*EDGE44, 30, 40, crs=UTM44), 5)
    near = made(tmp_path / "near", box(EDGE45[0], EDGE45[1], 40, 50), 6)
    parts = [near, far]
    whole = run_mosaic(parts, tmp_path / "whole")
    plain, heights = mosaic_workflow.empty_rasters, []

    def noted(bands, shape):
        heights.append(shape[0])
        return plain(bands, shape)

    monkeypatch.setattr(mosaic_workflow, "empty_rasters", noted)
    monkeypatch.setattr(mosaic_workflow, "ROWS", 7)
    strips = run_mosaic(parts, tmp_path / "strips")
    assert max(heights) == 7
    for name in ("classes", "probabilities", "confidence"):
        assert (whole / f"{name}.tif").read_bytes() == (strips / f"{name}.tif").read_bytes()
    monkeypatch.setattr(mosaic_workflow, "ROW_BYTES", 1)
    heights.clear()
    run_mosaic(three, tmp_path / "thin")
    assert set(heights) == {1}


@pytest.mark.parametrize("crs", [None, UTM44])
def test_another_zone_is_warped_with_its_nearest_pixels(crs, tmp_path):
    """Against GDAL's warp of the whole map at once; classes and confidence stay together."""
    here = made(tmp_path / "here", box(*EDGE45, 60, 60), 1, confidence=0.2, holes=False)
    there = made(tmp_path / "there", box(*EDGE44, 60, 60, crs=UTM44), 2, confidence=0.6)
    out = run_mosaic([here, there], tmp_path / "mosaic", crs=crs)
    target = open_prediction(out).odc.geobox
    assert target.crs.epsg == (32644 if crs else 32645) and target.resolution.x == 10
    warped = {}
    for part in (here, there):
        with rasterio.open(part / "classes.tif") as source:
            warped[part] = np.full(target.shape, 255, np.uint8)
            rasterio.warp.reproject(
                source.read(1), warped[part], src_transform=source.transform,
                src_crs=source.crs, src_nodata=255, tolerance=1e-3,
                dst_transform=target.affine, dst_crs=str(target.crs), dst_nodata=255,
            )  # fmt: skip
    wanted = np.where(warped[there] != 255, warped[there], warped[here])
    found = pixels(out, "classes")[0]
    assert (found == wanted).mean() > 0.9999
    # Nothing is lost at the edges: as much ground as before, to a pixel's width along them.
    for part, value in ((here, 50), (there, 150)):
        assert (warped[part] != 255).sum() >= (pixels(part, "classes") != 255).sum() * 0.97
        assert (pixels(out, "confidence") == value).any()
    known = found != 255
    assert (known == (pixels(out, "confidence")[0] != 255)).all()
    told = [part["warped"] for part in read_passport(out)["mosaic"]["parts"]]
    assert [bool(text) for text in told] == ([True, False] if crs else [False, True])


def test_the_folder_is_a_prediction_that_says_what_it_is(three, tmp_path):
    out = run_mosaic(three, tmp_path / "mosaic")
    for name in ("classes", "probabilities", "confidence"):
        assert cog_validate(out / f"{name}.tif", quiet=True)[0]
    assert sorted(p.name for p in out.iterdir()) == [
        "classes.tif", "confidence.tif", "passport.json", "prediction.json", "probabilities.tif",
    ]  # fmt: skip
    item = json.loads((out / "prediction.json").read_text())
    check_core(item)
    assert broken_rules(item) == []
    assert item["properties"]["datetime"] is None
    assert item["properties"]["start_datetime"] == "2023-08-01T00:00:00Z"
    assert item["properties"]["end_datetime"] == "2023-08-03T00:00:00Z"
    links = [link["href"] for link in item["links"] if link["rel"] == "derived_from"]
    assert links == [f"../{n}/prediction.json" for n in "abc"]
    found = open_prediction(out)
    assert found.attrs["synthetic"] == 1 and found.attrs["model"] == "m"
    assert "scene" not in found.attrs and "seconds" not in found.attrs
    passport = read_passport(out)
    assert passport["bundle"] == {"title": "m"}
    assert [part["scene"]["id"] for part in passport["mosaic"]["parts"]] == ["a", "b", "c"]
    with pytest.raises(CryonetError, match="no split of its own"):
        split_mask(passport, "test", (1, 1))


def test_one_synthetic_part_makes_it_synthetic(tmp_path):
    real = made(tmp_path / "real", box(300_000, 3_100_000, 9, 9), 0, synthetic=0)
    other = made(tmp_path / "other", box(300_050, 3_100_000, 9, 9), 1, synthetic=1)
    mosaic = open_prediction(run_mosaic([real, other], tmp_path / "mosaic"))
    assert mosaic.attrs["synthetic"] == 1
    assert open_prediction(run_mosaic([real], tmp_path / "alone")).attrs["synthetic"] == 0


def test_what_stands_there_is_kept_if_it_is_the_same_and_else_not_touched(three, tmp_path):
    out = run_mosaic(three, tmp_path / "mosaic")
    before = {p.name: p.stat().st_mtime_ns for p in out.iterdir()}
    run_mosaic(three, out, keep=True)
    with pytest.raises(SceneError, match="exists already"):
        run_mosaic(three[:2], out, keep=True)
    assert before == {p.name: p.stat().st_mtime_ns for p in out.iterdir()}
    run_mosaic(three[:2], out, keep=True, overwrite=True)
    assert len(read_passport(out)["mosaic"]["parts"]) == 2


def test_a_damaged_part_leaves_nothing_behind(three, tmp_path):
    file = three[1] / "classes.tif"
    data = bytearray(file.read_bytes())
    # Zeros over the pixels, which lie at the end.
    data[-400:] = bytes(400)
    file.write_bytes(data)
    with pytest.raises(SceneError, match=r"damaged.*b/classes\.tif"):
        run_mosaic(three, tmp_path / "mosaic")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a", "b", "c"]


def test_a_full_disk_is_told_before_anything_is_written(three, tmp_path, monkeypatch):
    usage = type("Usage", (), {"free": 1000})()
    monkeypatch.setattr(mosaic_workflow.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(SceneError, match="too little room"):
        run_mosaic(three, tmp_path / "mosaic")
    assert not (tmp_path / "mosaic").exists()


def test_other_classes_are_refused(three, tmp_path):
    two = made(tmp_path / "two", box(300_000, 3_100_000, 9, 9), 7, names=NAMES[:2])
    with pytest.raises(SceneError, match=r"differ in classes.*two: other, clean_ice\."):
        run_mosaic([*three, two], tmp_path / "mosaic")


@pytest.mark.parametrize(
    ("boxes", "crs", "said"),
    [
        ([box(0, 0, 9, 9)], "EPSG:4326", "not in metres"),
        ([box(0, 0, 9, 9)], "EPSG:2263", "not in metres"),
        ([box(0, 0, 9, 9)], "nonsense", "CRS is unknown"),
        ([box(300_000, 3_100_000, 9, 9)], "EPSG:3857", r"areas would be wrong.*\+2[0-9]\."),
        ([box(300_000, 3_100_000, 9, 9)], "EPSG:32601", "torn apart|areas would be wrong"),
        ([GeoBox((4, 4), rasterio.Affine(10, 0, 0, 0, -20, 0), UTM45)], None, "not square"),
    ],
)
def test_a_grid_that_would_mislead_is_refused(boxes, crs, said):
    with pytest.raises(GridError, match=said):
        mosaic_grid(boxes, crs=crs)


def test_the_grid_keeps_the_lines_of_the_maps_or_lies_on_round_numbers():
    one = box(300_003, 3_100_007, 30, 30)
    assert mosaic_grid([one]) == one
    beside = box(300_003 + 5_000, 3_100_007 - 70, 30, 30)
    both = mosaic_grid([one, beside])
    assert both.shape == (37, 530) and both.affine == one.affine
    askew = mosaic_grid([one, box(300_008, 3_100_007, 30, 30)])
    assert (askew.affine.c % 10, askew.affine.f % 10) == (0, 0)
    for each in (one, box(300_008, 3_100_007, 30, 30)):
        assert askew.boundingbox.bbox[0] <= each.boundingbox.bbox[0]
        assert askew.boundingbox.bbox[3] >= each.boundingbox.bbox[3]
    coarse = mosaic_grid([box(0, 0, 9, 9, cell=30), one, box(90, 0, 9, 9, cell=30)])
    assert coarse.resolution.x == 30
