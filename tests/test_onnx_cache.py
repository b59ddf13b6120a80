"""The cache of converted models: kept under a key, and damage counts as nothing there."""

from __future__ import annotations

import json

import pytest

from cryonet import onnx_cache
from cryonet.onnx_cache import Kept, cache_folder

KEY = {"weights": "a", "size": [64, 64], "versions": {"torch": "2.13"}}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("CRYONET_CACHE", str(tmp_path))
    return tmp_path


def test_what_is_kept_is_there_again():
    assert Kept(KEY).model() is None and Kept(KEY).facts() == {}
    Kept(KEY).keep(b"model", {"difference": 0.5})
    assert Kept(dict(reversed(KEY.items()))).model() == b"model"
    assert Kept(KEY).facts()["difference"] == 0.5
    assert sorted(p.name for p in Kept(KEY).folder.iterdir()) == ["facts.json", "model.onnx"]


@pytest.mark.parametrize("change", [
    {"weights": "b"}, {"size": [64, 32]}, {"versions": {"torch": "2.14"}},
])  # fmt: skip
def test_another_key_is_another_place(change):
    Kept(KEY).keep(b"model", {})
    assert Kept(KEY | change).model() is None


@pytest.mark.parametrize("name", ["FORMAT", "processor"])
def test_another_format_and_another_processor_too(name, monkeypatch):
    Kept(KEY).keep(b"model", {})
    monkeypatch.setattr(onnx_cache, name, 2 if name == "FORMAT" else lambda: "other")
    assert Kept(KEY).model() is None


@pytest.mark.parametrize("damage", [
    lambda f: (f / "model.onnx").write_bytes(b"modem"),
    lambda f: (f / "model.onnx").write_bytes(b"mode"),
    lambda f: (f / "model.onnx").unlink(),
    lambda f: (f / "facts.json").write_text("{"),
    lambda f: (f / "facts.json").write_text("[]"),
    lambda f: (f / "facts.json").write_bytes(b"\xff\xfe"),
])  # fmt: skip
def test_damage_counts_as_not_there(damage):
    kept = Kept(KEY)
    kept.keep(b"model", {})
    damage(kept.folder)
    assert kept.model() is None


def test_trials_stand_side_by_side_and_damaged_ones_are_none():
    kept = Kept(KEY)
    kept.keep_trial("1 threads", {"torch": 2.0})
    kept.keep_trial("2 threads", {"torch": 1.0, "onnxruntime": 0.5})
    assert kept.trial("1 threads") == {"torch": 2.0}
    assert kept.trial("2 threads") == {"torch": 1.0, "onnxruntime": 0.5}
    assert kept.trial("3 threads") == {}
    for bad in ({"1 threads": {"torch": "fast"}}, {"1 threads": 3}, {"1 threads": {}}):
        (kept.folder / "trials.json").write_text(json.dumps(bad))
        assert kept.trial("1 threads") == {}


def test_the_folder_is_the_users_own_unless_one_is_named(cache, monkeypatch):
    assert cache_folder() == cache / "onnx"
    monkeypatch.delenv("CRYONET_CACHE")
    assert cache_folder().parts[-2:] == ("cryonet", "onnx")
