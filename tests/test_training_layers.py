"""A training set on disk is the one in memory; it is made once, checked, and takes no memory."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import namedtuple
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from test_train import _config

import cryonet.trainset
from conftest import grid
from cryonet.batches import batch_numbers, draw_batch
from cryonet.bundle import weights_bytes
from cryonet.errors import SceneError
from cryonet.layers import build_stack
from cryonet.normalise import normalise
from cryonet.prefetch import Prefetch
from cryonet.scene import open_scene, scene_from_arrays
from cryonet.scene_writer import write_scene
from cryonet.stored_layers import StoredLayers
from cryonet.train import train
from cryonet.trainset import TrainSet, make_trainset

STACK = {"stack": ("red", "nir", "texture_contrast", "slope", "aspect_sin", "aspect_cos")}


@pytest.fixture(scope="module")
def config():
    augment = {"zoom": 0.3, "gain": 0.1, "shift": 0.1}
    return _config(features=STACK, augment=augment, stride=32, epochs=1, steps_per_epoch=3)


def _on_grid(padded):
    arrays = {str(n): padded[n].values for n in padded.data_vars}
    arrays["labels"] = arrays["labels"].astype(np.uint8)
    return scene_from_arrays(arrays, grid(*arrays["red"].shape), attrs=padded.attrs)


@pytest.fixture(scope="module")
def folders(blobs, tmp_path_factory):
    """Scenes of other sizes than the blocks in which layers are computed, with holes."""
    where = tmp_path_factory.mktemp("inputs")
    wide = blobs.pad(y=(70, 81), x=(101, 54), mode="reflect")
    found = []
    for name, part in (("one", blobs), ("two", _on_grid(wide))):
        scene = part.copy(deep=True).assign_attrs(id=name)
        scene["red"].values[40:50, 60:75] = np.nan
        found.append(write_scene(scene, where / name, storage={}))
    return found


@pytest.fixture(scope="module")
def scenes(folders):
    return [open_scene(folder) for folder in folders]


@pytest.fixture(scope="module")
def both(folders, scenes, config, tmp_path_factory):
    """The set in memory, and that of the same scenes read lazily, on disk."""
    lazy = [open_scene(folder, chunks=100) for folder in folders]
    folder = tmp_path_factory.mktemp("cache")
    return make_trainset(scenes, config), make_trainset(lazy, config, folder=folder), lazy, folder


def test_layers_are_those_of_the_whole_stack_normalised(both, scenes):
    data = both[0]
    for scene, ready in zip(scenes, data.scenes, strict=True):
        stack = build_stack(scene, [s.name for s in data.specs], fits=data.fits)
        raw = np.stack([stack[s.name].values for s in data.specs])
        inputs, valid = normalise(raw, data.statistics)
        np.testing.assert_array_equal(ready.inputs, inputs)
        np.testing.assert_array_equal(ready.valid, valid)


def test_on_disk_is_in_memory_to_the_bit(both, config):
    ram, disk, _, _ = both
    assert disk.statistics == ram.statistics
    assert disk.fits == ram.fits
    assert disk.chips == ram.chips
    for one, two in zip(ram.scenes, disk.scenes, strict=True):
        assert isinstance(two.inputs, StoredLayers)
        assert one.record == two.record
        np.testing.assert_array_equal(two.inputs[:, 3:, 5:-7], one.inputs[:, 3:, 5:-7])
        np.testing.assert_array_equal(two.valid, one.valid)
    for a, b in zip(
        draw_batch(ram, config, range(40)), draw_batch(disk, config, range(40)), strict=True
    ):
        assert torch.equal(a, b)


def test_the_same_weights_from_disk(both, scenes, config, tmp_path):
    _, _, lazy, _ = both
    one = train(scenes, config)
    there = config.model_copy(update={"memory": "disk", "out": tmp_path / "bundle", "prefetch": 0})
    two = train(lazy, there)
    assert weights_bytes(one.module) == weights_bytes(two.module)
    assert two.manifest.calibration == one.manifest.calibration
    assert not list(tmp_path.iterdir())
    throughput = two.manifest.training.throughput
    assert throughput.waiting_share > 0
    pixels = throughput.megapixels_per_second * 1e6 / throughput.chips_per_second
    assert pixels == pytest.approx(32 * 32, rel=2e-3)


@pytest.mark.parametrize("size", [2, 4])
@pytest.mark.parametrize("processes", [1, 2, 3])
def test_chips_hang_on_seed_and_number_alone(both, config, processes, size):
    """One process or two or three, batches of any size, ahead or in turn."""
    data = both[0]
    images, labels = draw_batch(data, config, range(24))
    given = config.model_copy(update={"batch": size})

    for rank in range(processes):

        def numbers(index: int, rank: int = rank) -> list[int]:
            return list(batch_numbers(index, given, rank=rank, processes=processes))

        count = 24 // size // processes
        with Prefetch(lambda i, n=numbers: draw_batch(data, given, n(i)), count, ahead=2) as cut:
            for index, (seen, truth) in enumerate(cut):
                assert len(numbers(index)) == size
                assert torch.equal(seen, images[numbers(index)])
                assert torch.equal(truth, labels[numbers(index)])
    shares = [set(batch_numbers(1, given, rank=r, processes=processes)) for r in range(processes)]
    assert set().union(*shares) == set(range(size * processes, 2 * size * processes))


def test_another_seed_draws_other_chips(both, config):
    images, _ = draw_batch(both[0], config, range(24))
    other, _ = draw_batch(both[0], config.model_copy(update={"seed": 1}), range(24))
    assert not torch.equal(other, images)
    assert len({image.numpy().tobytes() for image in images}) > 20


def test_chips_are_drawn_with_their_weights(both, config):
    count, found = 1500, []
    chips = len(both[0].chips)
    data = replace(both[0], weights=np.arange(1.0, chips + 1) * 2 / chips / (chips + 1))

    class Noting(TrainSet):
        __slots__ = ()

        def scene(self, chip):
            found.append(data.chips.index(chip))
            return data.scene(chip)

    noting = Noting(*(getattr(data, name) for name in data.__dataclass_fields__))
    draw_batch(noting, config, range(count))
    drawn = np.bincount(found, minlength=len(data.chips)) / count
    spread = np.sqrt(data.weights * (1 - data.weights) / count)
    assert (np.abs(drawn - data.weights) < 5 * spread).all()


def test_layers_are_made_once_and_anew_for_another_run(both, config, monkeypatch):
    _, _, lazy, folder = both
    made = []
    whole = cryonet.trainset.raw_layers
    monkeypatch.setattr(
        cryonet.trainset, "raw_layers", lambda *a, **k: made.append(1) or whole(*a, **k)
    )
    make_trainset(lazy, config.model_copy(update={"learning_rate": 1.0}), folder=folder)
    assert not made
    make_trainset(lazy, config.model_copy(update={"seed": 5}), folder=folder)
    assert made == [1]
    changed = [scene.copy() for scene in lazy]
    changed[0] = changed[0].assign(red=changed[0]["red"].copy(data=changed[0]["red"].values + 1))
    make_trainset(changed, config, folder=folder)
    assert made == [1, 1]


def test_a_full_disk_and_a_damaged_file_are_named(both, config, tmp_path, monkeypatch):
    _, _, lazy, _ = both
    make_trainset(lazy, config, folder=tmp_path)
    (file,) = tmp_path.glob("*/001.layers")
    with file.open("r+b") as stream:
        stream.truncate(100)
    with pytest.raises(SceneError, match="damaged"):
        make_trainset(lazy, config, folder=tmp_path)
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(1, 1, 1_000_000))
    with pytest.raises(SceneError, match="too full"):
        make_trainset(lazy, config, folder=tmp_path / "other")
    assert not list((tmp_path / "other").iterdir())


@pytest.mark.slow
def test_layers_on_disk_take_no_memory(tmp_path):
    peaks, stacks = [], []
    for side in (512, 2560):
        worker = Path(__file__).with_name("large_set_worker.py")
        folder = tmp_path / str(side)
        found = subprocess.run(
            [sys.executable, str(worker), str(side), str(folder)],
            env={
                **os.environ,
                "PYTHONPATH": str(Path(__file__).parents[1]),
                "OMP_NUM_THREADS": "1",
            },
            capture_output=True,
            text=True,
            check=True,
        )
        told = json.loads(found.stdout.splitlines()[-1])
        peaks.append(told["peak"])
        stacks.append(told["stack"])
        assert sum(f.stat().st_size for f in folder.glob("*/*.layers")) == told["stack"]
    assert stacks[1] - stacks[0] > 500e6
    # Labels, splits and masks stay: some bytes a pixel of the 88 that its layers take.
    assert peaks[1] - peaks[0] < 0.25 * (stacks[1] - stacks[0])
