"""Composites against a plain loop over pixels."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cryonet.sources.composite import NONE, Layer, best_pixel, median_of

SHAPE = (2, 5, 6)


def make(seed: int, passes: int, tiles: int) -> list[tuple[int, np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(seed)
    found = []
    for place in range(passes):
        for _ in range(tiles):
            values = rng.random(SHAPE).astype(np.float32)
            values[rng.random(SHAPE) < 0.1] = np.nan
            found.append((place, rng.random(SHAPE[1:]) < 0.6, values))
    return found


def layers(rows: list, asked: list | None = None) -> list[Layer]:
    def values_of(index: int) -> np.ndarray:
        if asked is not None:
            asked.append(index)
        return rows[index][2].copy()

    return [Layer(p, c, lambda i=i: values_of(i)) for i, (p, c, _) in enumerate(rows)]


rows = st.tuples(st.integers(0, 10**6), st.integers(0, 5), st.integers(1, 2))


@settings(max_examples=40, deadline=None)
@given(rows)
def test_best_pixel_is_the_first_whole_one(drawn: tuple[int, int, int]) -> None:
    found = make(*drawn)
    made, source = best_pixel(layers(found), SHAPE)
    for r in range(SHAPE[1]):
        for c in range(SHAPE[2]):
            whole = [
                (p, v[:, r, c]) for p, k, v in found if k[r, c] and np.isfinite(v[:, r, c]).all()
            ]
            expected = whole[0] if whole else (NONE, np.full(2, np.nan))
            assert source[r, c] == expected[0]
            np.testing.assert_array_equal(made[:, r, c], expected[1])


def test_a_layer_that_adds_nothing_is_not_read() -> None:
    full = np.ones(SHAPE[1:], bool)
    found = [(0, full, np.ones(SHAPE, np.float32)), (1, full, np.zeros(SHAPE, np.float32))]
    asked: list[int] = []
    best_pixel(layers(found, asked), SHAPE)
    assert asked == [0]


@settings(max_examples=40, deadline=None)
@given(rows, st.integers(1, 3))
def test_the_median_is_of_the_first_passes_that_show_a_pixel(
    drawn: tuple[int, int, int], most: int
) -> None:
    found = make(*drawn)
    made, count = median_of(layers(found), SHAPE, most=most)
    for r in range(SHAPE[1]):
        for c in range(SHAPE[2]):
            seen: dict[int, np.ndarray] = {}
            for place, clear, values in found:
                if clear[r, c] and np.isfinite(values[:, r, c]).all():
                    seen.setdefault(place, values[:, r, c])
            used = list(seen.values())[:most]
            assert count[r, c] == len(used)
            expected = np.median(used, axis=0) if used else np.full(2, np.nan)
            np.testing.assert_allclose(made[:, r, c], expected, rtol=1e-6)
