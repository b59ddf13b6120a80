"""Glaciers: mass is kept, the balance follows height, the share of ice is met."""

from __future__ import annotations

import numpy as np
import pytest

from cryonet.progress import SILENT
from cryonet.synthetic import ice as model
from cryonet.synthetic.ice import (
    GRADIENT,
    MOST_MELT,
    SOFTNESS,
    carve_troughs,
    glaciers_within,
    grow_glaciers,
    mass_balance,
)

valley_rows, valley_columns = np.indices((160, 160)).astype(float)
VALLEY = 4000 + 9.0 * (160 - valley_rows) + 0.09 * (valley_columns - 80) ** 2


def dome(size: int = 61) -> np.ndarray:
    rows, columns = np.indices((size, size)) - size // 2
    return np.maximum(0.0, 300.0 - 0.8 * (rows**2 + columns**2))


def test_flow_keeps_the_mass_and_spreads_a_dome_evenly() -> None:
    ice, flat = dome(), np.zeros((61, 61))
    after = model._advance(flat, ice, flat, 100.0, 6e4, 60)
    assert after.sum() == pytest.approx(ice.sum(), rel=1e-12)
    assert (after > 0).sum() > (ice > 0).sum()
    assert after.max() < ice.max()
    for turn in (np.rot90(after), after[::-1], after.T):
        np.testing.assert_allclose(after, turn, atol=1e-6)


def test_the_dome_spreads_as_its_similarity_solution() -> None:
    # Halfar 1983: an unfed dome over flat ground keeps its shape; its middle thins as
    # (t₀ / t)^(1/9), its radius grows as (t / t₀)^(1/18).
    cell, size = 500.0, 121
    rows, columns = (np.indices((size, size)) - size // 2) * cell
    middle, radius = 400.0, 15000.0
    start = (7 / 4) ** 3 * radius**4 / middle**7 / (18 * SOFTNESS)

    def halfar(time: float) -> np.ndarray:
        grown = time / start
        inner = np.hypot(rows, columns) / (radius * grown ** (1 / 18))
        return middle * grown ** (-1 / 9) * np.maximum(0, 1 - inner ** (4 / 3)) ** (3 / 7)

    cap = 0.2 * cell * cell / (start / 400)
    flat = np.zeros((size, size))
    after = model._advance(flat, halfar(start), flat, cell, cap, 400)
    expected = halfar(2 * start)
    inside = expected > 0.3 * expected.max()
    np.testing.assert_allclose(after[inside], expected[inside], rtol=0.04)


def test_no_pixel_gives_more_ice_than_it_has() -> None:
    steep = np.indices((40, 40))[0] * -400.0
    ice = np.zeros((40, 40))
    ice[5:9, 10:30] = 60.0
    after = model._advance(steep, ice, np.zeros((40, 40)), 30.0, 6e4, 50)
    assert after.min() >= 0
    assert after.sum() <= ice.sum() * (1 + 1e-12)


def test_balance_follows_height() -> None:
    heights = np.array([2000.0, 2900.0, 3000.0, 3100.0, 4000.0])
    found = mass_balance(heights, 3000.0)
    np.testing.assert_allclose(
        found, [-MOST_MELT, -0.5 * GRADIENT * 100, 0.0, GRADIENT * 100, 2.0], atol=1e-12
    )


def test_ice_fills_the_asked_share_of_a_valley_and_flows_down_it() -> None:
    found = grow_glaciers(VALLEY, cell=20.0, share=0.3, margin=0, progress=SILENT)
    assert found.mask.mean() == pytest.approx(0.3, abs=0.06)
    assert (found.thickness >= 0).all() and not found.thickness[~found.mask].any()
    # Low down only the valley floor holds ice: a tongue.
    off = np.abs(valley_columns - 80)
    low, high = np.quantile(found.surface[found.mask], (0.1, 0.9))
    tongue = off[found.mask & (found.surface < low)]
    assert low < found.equilibrium_line - 50
    assert tongue.mean() < 0.75 * off[found.mask & (found.surface > high)].mean()
    assert (found.surface >= VALLEY - 1e-9).all()
    assert 1 < found.speed[found.mask].max() <= 150


def test_old_ice_makes_a_sharp_valley_broad_and_nothing_higher() -> None:
    sharp = 4000 + 9.0 * (160 - valley_rows) + 6.0 * np.abs(valley_columns - 80)
    carved = carve_troughs(sharp, cell=20.0, margin=0, progress=SILENT)
    cut = sharp - carved
    assert cut.min() >= 0 and cut.max() > 5
    # The floor, within 60 m of the lowest point of a cross-section, is broader.
    floors = [
        (ground[60:100] < ground[60:100].min(axis=1)[:, None] + 60) for ground in (sharp, carved)
    ]
    assert floors[1].sum() > 1.1 * floors[0].sum()


def test_known_outlines_are_obeyed() -> None:
    mask = np.zeros(VALLEY.shape, bool)
    mask[20:90, 60:100] = True
    found = glaciers_within(VALLEY, mask, cell=20.0)
    np.testing.assert_array_equal(found.mask, mask)
    assert not found.thickness[~mask].any()
    assert found.equilibrium_line == pytest.approx(np.median(VALLEY[mask]))
    # Ice on the edge of yielding: 1 bar = ρ g H sin(slope); the plane falls 0.45.
    assert found.thickness[55, 80] == pytest.approx(1e5 / (910 * 9.81 * 0.45), rel=0.05)
    empty = glaciers_within(VALLEY, np.zeros_like(mask), cell=20.0)
    assert not empty.mask.any() and empty.equilibrium_line == VALLEY.max()
