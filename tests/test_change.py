"""Change between two maps: kinds, areas and ± against plain counts; swapped, all turns round."""

from __future__ import annotations

import json
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import rasterio
import shapely
import xarray as xr
from odc.geo.geobox import GeoBox
from PIL import Image
from scipy import ndimage
from skimage.segmentation import expand_labels
from typer.testing import CliRunner

from conftest import grid
from cryonet.change import (
    KINDS,
    change_codes,
    common_part,
    glacier_changes,
    lake_changes,
    total_change,
)
from cryonet.change_workflow import run_change
from cryonet.cli import app
from cryonet.errors import GridError, SceneError
from cryonet.map_strips import as_prediction
from cryonet.outline_attributes import MARGIN
from cryonet.prediction import write_prediction

SHAPE = (80, 100)
GRID = grid(*SHAPE)
NAMES = ("other", "clean_ice", "debris", "lake")
PIXEL = 1e-4


def prediction(codes: np.ndarray, sure: float = 0.85, geobox=GRID) -> xr.Dataset:
    """A prediction with a probability of `sure` for the class that is mapped."""
    shares = np.full((4, *codes.shape), (1 - sure) / 3, np.float32)
    for code in range(4):
        shares[code][codes == code] = sure
    shares[:, codes == 255] = np.nan
    found = as_prediction(shares, geobox, NAMES)
    found.attrs = {"datetime": "2000-01-01T00:00:00Z", "model": "m", "synthetic": 1}
    return found


@pytest.fixture
def maps() -> tuple[np.ndarray, np.ndarray]:
    """Two glaciers: one loses its tongue to a lake and grows debris, the other falls apart."""
    before = np.zeros(SHAPE, np.uint8)
    before[10:50, 10:30] = 1
    before[20:30, 60:90] = 1
    after = before.copy()
    after[40:50, 10:30] = 3
    after[30:40, 10:30] = 2
    after[20:30, 70:75] = 0
    after[5:10, 10:20] = 1
    after[:3, :3] = 255
    return before, after


def test_every_pixel_has_one_kind(maps):
    before, after = maps
    found = change_codes(before, after)
    counts = {kind.name: int((found == kind.code).sum()) for kind in KINDS}
    assert counts == {
        "other": before.size - 9 - 1100 - 50, "ice_loss": 50, "ice_gain": 50, "lake_growth": 200,
        "lake_loss": 0, "debris_gain": 200, "debris_loss": 0, "ice": 1100 - 450, "lake": 0,
    }  # fmt: skip
    assert (found == 255).sum() == 9
    rng = np.random.default_rng(0)
    one, two = rng.choice([0, 1, 2, 3, 255], (2, *SHAPE)).astype(np.uint8)
    forth, back = change_codes(one, two), change_codes(two, one)
    code = {kind.name: kind.code for kind in KINDS}
    same = [(name, name) for name in ("other", "ice", "lake")]
    for name, opposite in (("debris_gain", "debris_loss"), *same):
        np.testing.assert_array_equal(forth == code[name], back == code[opposite])
    np.testing.assert_array_equal(forth == 255, (one == 255) | (two == 255))


def test_the_whole_by_plain_counts(maps):
    before, after = maps
    found = total_change(prediction(before), prediction(after), correlation=0)
    assert found.before == pytest.approx(1100 * PIXEL)
    assert found.after == pytest.approx((1100 - 200 - 50 + 50) * PIXEL)
    assert (found.loss, found.gain) == pytest.approx((250 * PIXEL, 50 * PIXEL))
    assert found.net == pytest.approx(found.gain - found.loss)
    ice, none = 0.85 + 0.05, 0.05 * 2
    known = after != 255
    was = np.where(np.isin(before, (1, 2)), ice, none)[known]
    now = np.where(np.isin(after, (1, 2)), ice, none)[known]
    lost = was * (1 - now)
    assert found.loss_expected == pytest.approx(lost.sum() * PIXEL, rel=1e-5)
    assert found.loss_pm == pytest.approx(np.sqrt((lost * (1 - lost)).sum()) * PIXEL, rel=1e-5)
    edges = [2 * (40 + 20) + 2 * (10 + 30), 0]
    first = 0.5 * edges[0] * PIXEL
    ice_after = np.isin(after, (1, 2))
    sides = (ice_after[1:] != ice_after[:-1]).sum() + (ice_after[:, 1:] != ice_after[:, :-1]).sum()
    assert found.net_pm_buffer == pytest.approx(np.hypot(first, 0.5 * sides * PIXEL), rel=1e-6)


def test_swapped_maps_swap_gain_and_loss(maps):
    one, two = (prediction(codes) for codes in maps)
    forth, back = total_change(one, two), total_change(two, one)
    assert (forth.gain, forth.gain_expected, forth.gain_pm) == (
        back.loss,
        back.loss_expected,
        back.loss_pm,
    )
    assert forth.net == -back.net and forth.net_pm_buffer == back.net_pm_buffer
    same = total_change(one, one)
    assert same.gain == same.loss == same.net == 0 and same.loss_expected > 0


def test_a_glacier_that_falls_apart_stays_one_row(maps):
    one, two = (prediction(codes) for codes in maps)
    rows, numbers = glacier_changes(one, two)
    assert len(rows) == numbers.max() == 2
    total = total_change(one, two)
    for key in ("before", "after", "gain", "loss", "net"):
        assert rows[key].sum() == pytest.approx(getattr(total, key))
    apart = rows[rows["loss"].round(6) == round(50 * PIXEL, 6)]
    assert len(apart) == 1 and apart["gain"].item() == 0
    divides = np.zeros(SHAPE, np.int32)
    divides[:, :72], divides[:, 72:] = 1, 2
    divided, _ = glacier_changes(one, two, divides=divides)
    assert divided["before"].round(6).tolist() == pytest.approx([920 * PIXEL, 180 * PIXEL])
    nothing, _ = glacier_changes(*(prediction(np.zeros(SHAPE, np.uint8)) for _ in "ab"))
    assert nothing.empty and "loss_pm" in nothing.columns


def test_the_margin_goes_to_the_nearest_glacier():
    """Windows of single glaciers against margins that are drawn on the whole map."""
    generator = np.random.default_rng(8)
    before, after = (
        (ndimage.gaussian_filter(generator.normal(size=SHAPE), 2) > 0.12).astype(np.uint8)
        for _ in range(2)
    )
    one, two = prediction(before), prediction(after)
    rows, numbers = glacier_changes(one, two)
    grown = expand_labels(numbers, MARGIN)
    was, now = (d["probabilities"].values[1:3].sum(axis=0) for d in (one, two))
    gained = ndimage.sum_labels(now * (1 - was), grown, rows["number"]) * PIXEL
    assert len(rows) > 5
    np.testing.assert_allclose(rows["gain_expected"], gained, rtol=1e-5)


def test_lakes_grow_and_touch_ice(maps):
    before, after = (codes.copy() for codes in maps)
    before[60:62, 80:90] = after[60:64, 80:90] = 3
    rows = lake_changes(prediction(before), prediction(after)).set_index("number")
    assert rows["growth"].tolist() == pytest.approx([200 * PIXEL, 20 * PIXEL])
    assert rows["before"].tolist() == pytest.approx([0, 20 * PIXEL])
    assert rows["touches_ice"].tolist() == [True, False]
    assert lake_changes(*(prediction(np.zeros(SHAPE, np.uint8)) for _ in "ab")).empty


def test_only_common_ground_counts_pixel_on_pixel(maps):
    before, after = maps
    cut = (slice(7, 60), slice(5, 95))
    part = prediction(after[cut], geobox=GRID[cut])
    one, two = common_part(prediction(before), part)
    np.testing.assert_array_equal(one["classes"].values, before[cut])
    np.testing.assert_array_equal(two["classes"].values, after[cut])
    assert one.odc.geobox == two.odc.geobox == GRID[cut]
    two, one = common_part(part, prediction(before))
    np.testing.assert_array_equal(one["classes"].values, before[cut])
    inner = prediction(after[30:, 40:], geobox=GRID[30:, 40:])
    one, two = common_part(part, inner)
    np.testing.assert_array_equal(one["classes"].values, after[30:60, 40:95])
    np.testing.assert_array_equal(two["classes"].values, after[30:60, 40:95])
    for geobox, what in (
        (GRID.translate_pix(0.3, 0), "position"),
        (GRID.translate_pix(500, 0), "do not overlap"),
        (GeoBox(SHAPE, GRID.affine, "EPSG:32644"), "CRS"),
        (GRID.zoom_out(2), "position|size"),
    ):
        shape = tuple(geobox.shape)
        other = prediction(np.zeros(shape, np.uint8), geobox=geobox)
        with pytest.raises(GridError, match=what):
            common_part(prediction(before), other)


def test_the_folder_tells_what_changed(maps, tmp_path):
    for name, codes in zip(("a", "b"), maps, strict=True):
        write_prediction(prediction(codes), tmp_path / name, passport={})
    out = tmp_path / "out"
    given = ["change", *(str(tmp_path / name) for name in ("a", "b", "out"))]
    found = CliRunner().invoke(app, given)
    assert found.exit_code == 0, found.output
    assert "lost 0.025 ±" in found.output
    assert sorted(p.name for p in out.iterdir()) == [
        "change.json", "change.png", "change.tif", "glaciers.csv", "lakes.csv",
    ]  # fmt: skip
    with rasterio.open(out / "change.tif") as source:
        np.testing.assert_array_equal(source.read(1), change_codes(*maps))
        assert (
            source.tags()["KIND_1"] == "ice_loss" and source.tags()["CRYONET_INPUT"] == "synthetic"
        )
        assert source.colormap(1)[3][:3] == KINDS[3].rgb
    told = json.loads((out / "change.json").read_text())
    assert told["ice_km2"]["loss"] == pytest.approx(250 * PIXEL)
    assert told["lakes_km2"]["growth"] == pytest.approx(200 * PIXEL)
    assert told["pixels"]["ice_gain"] == 50 and told["predictions"][0]["synthetic"] is True
    rows = pd.read_csv(out / "glaciers.csv")
    assert len(rows) == 2 and rows["lon"].between(80, 90).all() and rows["synthetic"].all()
    assert pd.read_csv(out / "lakes.csv")["synthetic"].all()
    image = np.asarray(Image.open(out / "change.png").convert("RGB"))
    for kind in (k for k in KINDS if told["pixels"][k.name]):
        assert (image == kind.rgb).all(axis=-1).sum() > 50, kind.name
    assert CliRunner().invoke(app, given).exit_code == 2
    (tmp_path / "mine").mkdir()
    with pytest.raises(SceneError, match="something else"):
        run_change(tmp_path / "a", tmp_path / "b", tmp_path / "mine", overwrite=True)


def test_an_inventory_divides_and_names(maps, tmp_path):
    for name, codes in zip(("a", "b"), maps, strict=True):
        write_prediction(prediction(codes), tmp_path / name, passport={})
    left, bottom, right, top = GRID.extent.boundingbox
    boxes = [
        shapely.box(left, bottom, left + 720, top),
        shapely.box(left + 720, bottom, right, top),
    ]
    gpd.GeoDataFrame({"rgi_id": ["one", "two"]}, geometry=boxes, crs=GRID.crs.proj).to_file(
        tmp_path / "rgi.gpkg"
    )
    run_change(tmp_path / "a", tmp_path / "b", tmp_path / "out", divides=tmp_path / "rgi.gpkg")
    rows = pd.read_csv(Path(tmp_path / "out" / "glaciers.csv"))
    assert sorted(rows["rgi_id_match"]) == ["one", "two"]
