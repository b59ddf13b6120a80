"""Drainage: every pixel drains, nothing is lost, rivers cut."""

from __future__ import annotations

import numpy as np
import pytest

from cryonet.synthetic.drainage import drain, gather, incise
from cryonet.synthetic.fractal import fractal_field


@pytest.fixture(scope="module")
def hills() -> np.ndarray:
    return 100 * fractal_field((60, 70), np.random.default_rng(2), slope=2.2)


@pytest.fixture(scope="module")
def border() -> np.ndarray:
    edge = np.ones((60, 70), bool)
    edge[1:-1, 1:-1] = False
    return edge


def test_every_pixel_drains_to_an_outlet_over_neighbours(
    hills: np.ndarray, border: np.ndarray
) -> None:
    receiver, order = drain(hills, border)
    assert sorted(order) == list(range(hills.size))
    place = np.empty(hills.size, int)
    place[order] = np.arange(hills.size)
    away = np.arange(hills.size)
    rows, columns = np.divmod(away, 70), np.divmod(receiver, 70)
    assert max(np.abs(rows[0] - columns[0]).max(), np.abs(rows[1] - columns[1]).max()) == 1
    moving = receiver != away
    np.testing.assert_array_equal(~moving, border.ravel())
    # A receiver comes before all that drain to it, so no water turns in a circle.
    assert (place[receiver[moving]] < place[away[moving]]).all()


def test_water_takes_the_steepest_way_down(border: np.ndarray) -> None:
    # A cone has no hollows: each pixel drains to its steepest lower neighbour.
    rows, columns = np.indices((60, 70))
    cone = 100.0 - np.hypot(rows - 29.3, columns - 34.6)
    receiver, _ = drain(cone, border)
    for r, c in ((20, 30), (40, 50), (30, 10), (10, 60)):
        falls = {}
        for dr in (-1, 0, 1):
            for dc in (-1, 0, 1):
                if dr or dc:
                    far = np.hypot(dr, dc)
                    falls[(r + dr) * 70 + c + dc] = (cone[r, c] - cone[r + dr, c + dc]) / far
        assert receiver[r * 70 + c] == max(falls, key=falls.__getitem__)


def test_all_rain_reaches_the_outlets(hills: np.ndarray, border: np.ndarray) -> None:
    receiver, order = drain(hills, border)
    total = gather(receiver, order, np.ones(hills.shape))
    assert total[border].sum() == pytest.approx(hills.size)
    assert total.min() == 1
    assert total.max() > 100


def test_a_river_steps_towards_its_receiver_as_the_implicit_scheme_says() -> None:
    # One column that falls to the south: h' = (h + K h'_below) / (1 + K), K = strength / cell.
    heights = np.array([[30.0], [20.0], [10.0], [0.0]])
    receiver, order = np.array([1, 2, 3, 3]), np.array([3, 2, 1, 0])
    strength = np.full((4, 1), 5.0)
    found = incise(heights, receiver, order, strength, np.zeros((4, 1)), 10.0)
    below = 0.0
    for row in (2, 1, 0):
        below = (heights[row, 0] + 0.5 * below) / 1.5
        assert found[row, 0] == pytest.approx(below)
    assert found[3, 0] == 0.0


def test_the_steepness_of_a_steady_river_is_uplift_over_strength() -> None:
    # Steady stream power: gradient = uplift / strength, at any distance from the outlet.
    heights = np.zeros((30, 1))
    receiver = np.append(np.arange(1, 30), 29)
    order = np.arange(29, -1, -1)
    lift = np.append(np.full(29, 2.0), 0.0)[:, None]
    for _ in range(400):
        heights = incise(heights, receiver, order, np.full((30, 1), 8.0), lift, 10.0)
    np.testing.assert_allclose(-np.diff(heights[:, 0]) / 10.0, 2.0 / 8.0, rtol=1e-6)
