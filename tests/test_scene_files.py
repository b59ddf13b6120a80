"""Windows read from a scene's files: the values of the scene opened whole."""

from __future__ import annotations

import numpy as np
import pytest

from cryonet.errors import SceneError
from cryonet.grid import Window
from cryonet.scene import open_scene
from cryonet.scene_files import SceneFiles
from cryonet.scene_writer import write_scene
from cryonet.synthetic import STORAGE, make_scene


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    scene = make_scene(96, seed=1)
    scene["red"].values[20:30, 40:50] = np.nan
    return write_scene(scene, tmp_path_factory.mktemp("files") / "scene", storage=STORAGE)


@pytest.mark.parametrize("window", [Window(0, 0, 96, 96), Window(13, 37, 40, 21)])
def test_windows_are_those_of_the_scene(folder, window):
    whole = open_scene(folder)
    names = [str(name) for name in whole.data_vars]
    with SceneFiles(folder) as files:
        found = files.read(names, window)
    assert sorted(found) == sorted(names)
    for name in names:
        expected = whole[name].values[window.slices]
        assert found[name].dtype == expected.dtype
        np.testing.assert_array_equal(found[name], expected)
    assert np.isnan(found["red"]).any()


def test_only_what_is_asked_for_is_read(folder):
    with SceneFiles(folder / "scene.json") as files:
        assert list(files.read(["elevation"], Window(0, 0, 5, 5))) == ["elevation"]


def test_damage_is_named_and_files_are_closed(folder, tmp_path):
    place = tmp_path / "scene"
    place.mkdir()
    for file in folder.iterdir():
        (place / file.name).write_bytes(file.read_bytes())
    optical = place / "optical.tif"
    data = optical.read_bytes()
    optical.write_bytes(data[: len(data) // 2])
    with SceneFiles(place) as files, pytest.raises(SceneError, match="damaged"):
        files.read(["blue", "swir22"], Window(0, 0, 96, 96))
