"""Blending: no seams, no frames, holes kept, empty windows skipped."""

from __future__ import annotations

import numpy as np
import pytest

from cryonet.errors import ConfigError, GridError
from cryonet.grid import starts
from cryonet.progress import Cancelled
from cryonet.stitch import BLENDS, blend_weights, stitch

SHAPES = [(1, 1), (31, 33), (257, 511), (600, 600)]


def _read(image: np.ndarray, valid: np.ndarray | None = None):
    known = np.ones(image.shape[1:], bool) if valid is None else valid
    return lambda w: (image[(slice(None), *w.slices)], known[w.slices])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("blend", list(BLENDS))
@pytest.mark.parametrize("overlap", [0.0, 0.1, 0.25, 0.5])
def test_constant_model_gives_one_everywhere(shape, blend, overlap):
    """T1: corners and edges included."""
    image = np.zeros((2, *shape), np.float32)
    found, valid = stitch(
        _read(image),
        lambda x: np.ones((len(x), 1, *x.shape[2:]), np.float32),
        shape,
        outputs=1,
        tile=64,
        overlap=overlap,
        blend=blend,
    )
    assert valid.all()
    np.testing.assert_allclose(found, 1.0, atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("blend", list(BLENDS))
@pytest.mark.parametrize("overlap", [0.0, 0.3, 0.5])
def test_coordinate_model_gives_its_own_place(shape, blend, overlap):
    """T2: a model that returns row and column puts each pixel where it was."""
    image = np.indices(shape).astype(np.float32)
    found, _ = stitch(
        _read(image), lambda x: x, shape, outputs=2, tile=96, overlap=overlap, blend=blend, batch=3
    )
    np.testing.assert_allclose(found, image, atol=1e-4, rtol=0)


@pytest.mark.parametrize("blend", list(BLENDS))
@pytest.mark.parametrize("length", [1, 40, 64, 65, 301])
def test_weights_are_positive_and_sum_to_one(blend, length):
    weights = blend_weights(length, 64, 16, blend)
    total = np.zeros(length)
    for first, weight in zip(starts(length, 64, 16), weights, strict=True):
        assert weight.min() > 0
        total[first : first + len(weight)] += weight
    np.testing.assert_allclose(total, 1, atol=1e-12)


def test_holes_stay_holes_and_empty_windows_are_not_run():
    """T4: a window with no data never reaches the model."""
    shape, seen = (128, 192), []
    image = np.ones((1, *shape), np.float32)
    valid = np.zeros(shape, bool)
    valid[:, :40] = True

    def run(batch):
        seen.append(len(batch))
        return batch

    found, known = stitch(_read(image, valid), run, shape, outputs=1, tile=64, overlap=0)
    assert sum(seen) == 2
    np.testing.assert_array_equal(known, valid)
    np.testing.assert_array_equal(np.isnan(found[0]), ~valid)
    np.testing.assert_allclose(found[0][valid], 1)


def test_all_empty_runs_nothing():
    def run(batch):
        raise AssertionError("an empty window was run")

    image = np.zeros((1, 40, 40), np.float32)
    found, known = stitch(
        _read(image, np.zeros((40, 40), bool)), run, (40, 40), outputs=3, tile=32, overlap=0.25
    )
    assert not known.any()
    assert np.isnan(found).all()


def test_seams_are_weighted_away():
    """Windows that disagree blend smoothly: no step larger than the ramp's own."""
    shape, calls = (64, 256), iter(range(100))

    def run(batch):
        return np.stack([np.full((1, 64, 64), next(calls) % 2, np.float32) for _ in batch])

    image = np.zeros((1, *shape), np.float32)
    found, _ = stitch(_read(image), run, shape, outputs=1, tile=64, overlap=0.5, blend="cosine")
    assert np.abs(np.diff(found[0], axis=1)).max() < 0.1


def test_progress_counts_every_window_and_cancels():
    steps = []

    class Stop:
        def step(self, done, total, message=""):
            steps.append((done, total))
            if done >= 2:
                raise Cancelled

    image = np.zeros((1, 64, 256), np.float32)
    with pytest.raises(Cancelled):
        stitch(
            _read(image), lambda x: x, (64, 256), outputs=1, tile=64, overlap=0, batch=1,
            progress=Stop(),
        )  # fmt: skip
    assert steps == [(0, 4), (1, 4), (2, 4)]


@pytest.mark.parametrize("overlap", [-0.1, 0.51, float("nan")])
def test_overlap_out_of_range_is_refused(overlap):
    image = np.zeros((1, 8, 8), np.float32)
    with pytest.raises(ConfigError, match="overlap"):
        stitch(_read(image), lambda x: x, (8, 8), outputs=1, tile=4, overlap=overlap)


def test_unknown_blend_and_tile_are_refused():
    image = np.zeros((1, 8, 8), np.float32)
    with pytest.raises(ConfigError, match="hann"):
        stitch(_read(image), lambda x: x, (8, 8), outputs=1, tile=4, overlap=0, blend="hann")
    with pytest.raises(GridError, match="tile"):
        stitch(_read(image), lambda x: x, (8, 8), outputs=1, tile=0, overlap=0)
