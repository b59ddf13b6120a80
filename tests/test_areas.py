"""Areas and their uncertainty against cases that can be worked out, and against draws."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from odc.geo.geobox import GeoBox
from pyproj import Geod

from conftest import grid
from cryonet.areas import AreaTally, area_spread, buffer_area, estimate_areas
from cryonet.errors import CryonetError

CELL = 1e-4  # km², a pixel of 10 m


def test_expected_area_and_both_extremes():
    generator = np.random.default_rng(0)
    share = generator.random((40, 50))
    share[3, 4:9] = np.nan
    spread = np.sqrt(share * (1 - share))
    expected, least = area_spread(share, grid(40, 50), correlation=0)
    assert expected == pytest.approx(np.nansum(share) * CELL)
    assert least == pytest.approx(np.sqrt(np.nansum(spread**2)) * CELL)
    _, most = area_spread(share, grid(40, 50), correlation=float("inf"))
    assert most == pytest.approx(np.nansum(spread) * CELL)
    between = [area_spread(share, grid(40, 50), correlation=c)[1] for c in (20, 40, 80, 160)]
    assert least < between[0] < between[1] < between[2] < between[3] < most


def test_squares_are_as_large_as_the_length_says():
    """Constant p: √(p (1 − p)) times the root of the sum of squared square areas."""
    _, found = area_spread(np.full((50, 70), 0.2), grid(50, 70), correlation=200)
    sizes = np.outer([20, 20, 10], [20, 20, 20, 10]) * CELL
    assert found == pytest.approx(0.4 * np.sqrt((sizes**2).sum()))
    coarse = grid(50, 70, cell=20.0)
    _, found = area_spread(np.full((50, 70), 0.2), coarse, correlation=200)
    sizes = np.outer([10] * 5, [10] * 7) * 4 * CELL
    assert found == pytest.approx(0.4 * np.sqrt((sizes**2).sum()))


def test_the_spread_is_that_of_drawn_maps():
    """Draws of a made-up field: one uniform number a square decides all its pixels."""
    generator = np.random.default_rng(1)
    blocks = generator.random((6, 8))
    share = np.kron(blocks, np.ones((5, 5)))
    numbers = generator.random((4_000, 6, 8))
    areas = (numbers < blocks).sum(axis=(1, 2)) * 25 * CELL
    expected, found = area_spread(share, grid(30, 40), correlation=50)
    # The standard error of a mean of n draws is σ / √n, that of their deviation σ / √(2 n).
    assert areas.mean() == pytest.approx(expected, abs=4 * found / np.sqrt(4_000))
    assert areas.std() == pytest.approx(found, rel=4 / np.sqrt(8_000))
    single = generator.random((4_000, 30, 40)) < share
    _, independent = area_spread(share, grid(30, 40), correlation=0)
    counts = single.sum(axis=(1, 2)) * CELL
    assert counts.std() == pytest.approx(independent, rel=4 / np.sqrt(8_000))


def test_where_probabilities_differ_within_a_square_it_bounds_the_draws():
    generator = np.random.default_rng(2)
    share = generator.random((20, 20))
    numbers = generator.random((4_000, 1, 1))
    areas = (numbers < share).sum(axis=(1, 2)) * CELL
    _, bound = area_spread(share, grid(20, 20), correlation=1e9)
    # One number for all: the covariance of two pixels is min(p, q) − p q (Hoeffding).
    flat = share.ravel()
    exact = np.sqrt((np.minimum.outer(flat, flat) - np.outer(flat, flat)).sum()) * CELL
    assert areas.std() == pytest.approx(exact, rel=4 / np.sqrt(8_000))
    assert 0.5 * bound < exact < bound


@pytest.mark.parametrize("width", [0.5, 1.0, 2.5])
def test_the_buffer_of_a_square_is_perimeter_times_width(width):
    mask = np.zeros((40, 60), bool)
    mask[10:20, 15:40] = True
    perimeter = 2 * (100 + 250)
    assert buffer_area(mask, grid(40, 60), width=width) == pytest.approx(
        perimeter * width * 10 / 1e6
    )
    mask[12:15, 20:22] = False
    perimeter += 2 * (30 + 20)
    assert buffer_area(mask, grid(40, 60), width=width) == pytest.approx(
        perimeter * width * 10 / 1e6
    )


def test_a_round_outline_runs_in_steps():
    rows, cols = np.mgrid[:400, :400]
    disc = np.hypot(rows - 199.5, cols - 199.5) < 150
    true = 2 * np.pi * 150 * 10 * 5 / 1e6
    assert buffer_area(disc, grid(400, 400)) == pytest.approx(true * 4 / np.pi, rel=0.01)


def test_where_the_data_end_is_no_outline():
    mask = np.zeros((20, 30), bool)
    mask[:, :10] = True
    assert buffer_area(mask, grid(20, 30)) == pytest.approx(20 * 0.5 * CELL)
    known = np.ones(mask.shape, bool)
    known[5:9, 8:10] = False  # inside only
    known[12:14, 10:12] = False  # outside only
    assert buffer_area(mask, grid(20, 30), known=known) == pytest.approx(14 * 0.5 * CELL)
    turned = buffer_area(mask.T, grid(30, 20), known=known.T)
    assert turned == pytest.approx(14 * 0.5 * CELL)
    assert buffer_area(np.ones((5, 5), bool), grid(5, 5)) == 0


def test_the_buffer_is_measured_on_the_ellipsoid():
    box = GeoBox.from_bbox((86, 60, 87, 61), crs="EPSG:4326", shape=(100, 100))
    mask = np.zeros((100, 100), bool)
    mask[:10] = True
    # A strip of half a pixel along the parallel of 60.9°.
    geod = Geod(ellps="WGS84")
    strip, _ = geod.polygon_area_perimeter([86, 87, 87, 86], [60.8975, 60.8975, 60.9025, 60.9025])
    assert buffer_area(mask, box) == pytest.approx(abs(strip) / 1e6, rel=1e-3)


def test_areas_of_a_map_count_known_pixels_once():
    generator = np.random.default_rng(3)
    shares = generator.dirichlet([1, 1, 1], (30, 40)).transpose(2, 0, 1)
    codes = shares.argmax(axis=0).astype(np.uint8)
    shares[:, :3], codes[:3] = np.nan, 255
    mask = np.zeros(codes.shape, bool)
    mask[:, :20] = True
    found = estimate_areas(
        codes, shares, grid(30, 40), classes=["other", "clean_ice", "debris"],
        mask=mask, correlation=100, buffer=1.5,
    )  # fmt: skip
    assert [row.name for row in found] == ["other", "clean_ice", "debris"]
    assert sum(row.mapped for row in found) == pytest.approx(27 * 20 * CELL)
    assert sum(row.expected for row in found) == pytest.approx(27 * 20 * CELL)
    part, inside = shares[2, 3:, :20], codes[3:, :20] == 2
    assert found[2].mapped == pytest.approx(inside.sum() * CELL)
    assert found[2].expected == pytest.approx(part.sum() * CELL)
    assert found[2].independent < found[2].correlated < found[2].together
    assert found[2].buffer == pytest.approx(buffer_area(inside, grid(27, 20), width=1.5))
    cut = np.where(mask, shares[2], np.nan)
    assert found[2].correlated == area_spread(cut, grid(30, 40), correlation=100)[1]


@pytest.mark.parametrize("wrong", [-1, float("nan")])
def test_lengths_out_of_range_are_refused(wrong):
    with pytest.raises(CryonetError, match="correlation"):
        area_spread(np.ones((2, 2)), grid(2, 2), correlation=wrong)
    with pytest.raises(CryonetError, match="buffer"):
        buffer_area(np.ones((2, 2), bool), grid(2, 2), width=wrong)


@pytest.mark.parametrize("cuts", [(1, 2, 3), (7, 14, 21), (29,), (10, 20), (5, 13)])
@pytest.mark.parametrize("length", [0, 30, 100, float("inf")])
def test_areas_do_not_depend_on_how_rows_are_cut(cuts, length):
    generator = np.random.default_rng(11)
    shares = generator.dirichlet([1, 1], (30, 17)).transpose(2, 0, 1)
    codes = shares.argmax(axis=0).astype(np.uint8)
    shares[:, 6:9, 3:5], codes[6:9, 3:5] = np.nan, 255
    given = {"classes": ["other", "clean_ice"], "correlation": length, "buffer": 0.5}
    whole = estimate_areas(codes, shares, grid(30, 17), **given)
    tally = AreaTally(grid(30, 17), **given)
    for top, end in pairwise((0, *cuts, 30)):
        tally.add(codes[top:end], shares[:, top:end])
    for one, other in zip(tally.estimates(), whole, strict=True):
        for name in ("mapped", "expected", "independent", "correlated", "together", "buffer"):
            assert getattr(one, name) == pytest.approx(getattr(other, name), rel=1e-12)


def test_a_large_raster_is_taken_in_parts(monkeypatch):
    share = np.random.default_rng(2).uniform(size=(47, 31))
    whole = area_spread(share, grid(47, 31), correlation=60)
    monkeypatch.setattr("cryonet.areas._AT_ONCE", 31 * 5)
    assert area_spread(share, grid(47, 31), correlation=60) == pytest.approx(whole)
