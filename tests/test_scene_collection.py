"""Which scenes a folder or a STAC catalogue holds: from local files alone, and named apart."""

from __future__ import annotations

import json

import pystac
import pytest
from test_predict import make_scene

from cryonet.errors import SceneError
from cryonet.scene_collection import find_scenes, is_one_scene, scene_names
from cryonet.scene_writer import write_scene


@pytest.fixture
def folder(tmp_path):
    """Three scenes, whose ids are in another order than their folders."""
    for name, known in (("x", "c"), ("y y", "b"), ("z", "a")):
        write_scene(make_scene(9, 9).assign_attrs(id=known), tmp_path / "scenes" / name)
    (tmp_path / "scenes" / "notes").mkdir()
    (tmp_path / "scenes" / ".x.predict").mkdir()
    return tmp_path / "scenes"


def catalogue(file, *links):
    """Write a catalogue with such links: pairs of what and where."""
    made = pystac.Catalog(file.stem, "test").to_dict(include_self_link=False)
    made["links"] = [{"rel": rel, "href": href} for rel, href in links]
    file.write_text(json.dumps(made))
    return file


def test_a_folder_of_scenes_in_order_of_their_names(folder):
    assert not is_one_scene(folder)
    found = find_scenes(folder)
    assert [scene.name for scene in found] == ["x", "y y", "z"]
    assert scene_names(found) == ["c", "b", "a"]


def test_one_scene_is_its_folder_or_its_item(folder):
    assert is_one_scene(folder / "x") and is_one_scene(folder / "x" / "scene.json")
    assert is_one_scene(folder / "missing.json")  # whoever opens it says so


def test_a_catalogue_with_children(folder):
    root = ("root", "./catalog.json")
    (folder / "below").mkdir()
    catalogue(folder / "below" / "catalog.json", ("root", "../catalog.json"),
              ("item", "../x/scene.json"))  # fmt: skip
    file = catalogue(folder / "catalog.json", root, ("child", "./below/catalog.json"),
                     ("item", "./z/scene.json"))  # fmt: skip
    assert not is_one_scene(file)
    assert sorted(scene.parent.name for scene in find_scenes(file)) == ["x", "z"]
    assert sorted(scene_names(find_scenes(file))) == ["a", "c"]


def test_a_collection(folder):
    extent = pystac.Extent(
        pystac.SpatialExtent([[0, 0, 1, 1]]), pystac.TemporalExtent([[None, None]])
    )
    made = pystac.Collection("all", "test", extent).to_dict(include_self_link=False)
    made["links"] = [{"rel": "item", "href": "./y y/scene.json", "type": "application/json"}]
    (folder / "collection.json").write_text(json.dumps(made))
    (scene,) = find_scenes(folder / "collection.json")
    assert scene == folder / "y y" / "scene.json"


def test_an_item_collection_whose_items_say_where_they_are(folder):
    items = []
    for name, href in (("x", "x/scene.json"), ("z", str(folder / "z" / "scene.json"))):
        item = json.loads((folder / name / "scene.json").read_text())
        items.append(item | {"links": [{"rel": "self", "href": href}]})
    file = folder / "found.json"
    file.write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    assert find_scenes(file) == [folder / "x" / "scene.json", folder / "z" / "scene.json"]
    for link in ([], [{"rel": "self", "href": "https://example.org/scene.json"}]):
        items[0]["links"] = link
        file.write_text(json.dumps({"type": "FeatureCollection", "features": items}))
        with pytest.raises(SceneError, match=r"does not say where its file is: c\."):
            find_scenes(file)


@pytest.mark.parametrize("href", ["https://example.org/item.json", "./missing.json"])
def test_nothing_is_fetched(href, folder):
    catalogue(folder / "catalog.json", ("item", href))
    with pytest.raises(SceneError, match=r"what is no file: .*(example\.org|missing)"):
        find_scenes(folder / "catalog.json")


def test_a_catalogue_that_contains_itself_is_refused(folder):
    catalogue(folder / "catalog.json", ("child", "./catalog.json"))
    with pytest.raises(SceneError, match="contains itself"):
        find_scenes(folder / "catalog.json")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"type": "Catalog"}', "damaged"),
        ('{"type": "FeatureCollection", "features": []}', "no scenes"),
        ('{"type": "Feature", "features": 1}', "damaged"),
        ('{"type": "FeatureCollection", "features": 1}', "features are a list"),
        ('{"type": "Catalog", "stac_version": "1.1.0", "id": "a", "links": 3}', "damaged"),
        ("not JSON", "damaged"),
    ],
)
def test_a_damaged_catalogue_is_refused(text, said, tmp_path):
    (tmp_path / "all.json").write_text(text)
    with pytest.raises(SceneError, match=said):
        find_scenes(tmp_path / "all.json")


def test_a_folder_without_scenes_is_refused(tmp_path):
    with pytest.raises(SceneError, match=r"no scenes.*scene\.json"):
        find_scenes(tmp_path)
    with pytest.raises(SceneError, match="no scenes"):
        find_scenes(tmp_path / "missing")


@pytest.mark.parametrize(
    ("ids", "said"),
    [
        (("same", "same"), "two scenes have the same id: same"),
        (("same", "SAME"), "two scenes have the same id"),
        (("../out", "b"), r"no name for a folder: '\.\./out'"),
        ((".hidden", "b"), "no name for a folder"),
        (("a\x1b[31m", "b"), "no name for a folder"),
    ],
)
def test_ids_that_are_no_names_for_folders_are_refused(ids, said, folder):
    for name, known in zip("xz", ids, strict=True):
        file = folder / name / "scene.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"id": known}))
    with pytest.raises(SceneError, match=said):
        scene_names(find_scenes(folder))


def test_a_scene_that_cannot_be_read_is_named_after_its_folder(folder):
    (folder / "z" / "scene.json").write_text("{")
    assert scene_names(find_scenes(folder)) == ["c", "b", "z"]
