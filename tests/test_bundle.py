"""The bundle on disk: what was saved comes back, what does not fit is refused by name."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from cryonet.bundle import MANIFEST, WEIGHTS, load_bundle, save_bundle
from cryonet.card import model_card
from cryonet.config import ModelConfig, SplitConfig, TrainConfig
from cryonet.errors import BundleError
from cryonet.train import train


@pytest.fixture(scope="module")
def bundle(blobs):
    config = TrainConfig(
        scenes=("blobs",),
        out="bundle",
        classes=("other", "clean_ice", "debris"),
        features={"stack": ("red", "nir")},
        split=SplitConfig(test="none", block=32, gap=4),
        model=ModelConfig(
            encoder="tu-mobilenetv3_small_100", decoder_channels=(16, 16, 16, 16, 16)
        ),
        chip=32, stride=32, batch=2, epochs=1, steps_per_epoch=1, tile=64,
        accelerator="cpu", threads=1,
    )  # fmt: skip
    return train([blobs], config)


@pytest.fixture
def folder(bundle, tmp_path):
    return save_bundle(bundle, tmp_path / "bundle")


def test_what_was_saved_comes_back(bundle, folder):
    found = load_bundle(folder)
    assert found.manifest == bundle.manifest
    image = torch.randn(1, 2, 64, 64)
    with torch.inference_mode():
        assert torch.equal(found.module(image), bundle.module(image))
    assert sorted(p.name for p in folder.iterdir()) == [
        "CARD.md", "item.json", "manifest.json", "weights.safetensors",
    ]  # fmt: skip


def test_the_card_and_the_item_say_what_it_is(folder):
    card = (folder / "CARD.md").read_text()
    assert "synthetic scenes" in card
    assert "`red`, `nir`" in card
    item = json.loads((folder / "item.json").read_text())
    assert item["properties"]["mlm:input"][0]["bands"] == ["red", "nir"]


def test_the_card_names_classes_that_validation_did_not_show(bundle):
    training = bundle.manifest.training
    for value, said in ((None, True), (0.0, False)):
        figures = {"iou_other": 0.5, "iou_clean_ice": 0.5, "iou_debris": value}
        told = training.model_copy(update={"metrics": {"validation": figures}})
        card = model_card(bundle.manifest.model_copy(update={"training": told}))
        assert ("by the sight of debris:" in card) is said


def _edit(folder, change):
    file = folder / MANIFEST
    manifest = json.loads(file.read_text())
    change(manifest)
    file.write_text(json.dumps(manifest))


def _set(path, value):
    def change(manifest):
        place = manifest
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value

    return change


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (_set(["surprise"], 1), "surprise"),
        (_set(["format"], "cryonet-bundle/9"), "format"),
        (_set(["classes"], ["other", "debris", "clean_ice"]), "classes"),
        (_set(["classes"], ["other", "clean_ice"]), "segmentation_head|shape"),
        (_set(["tile"], 100), "tile"),
        (_set(["weights_sha256"], "0" * 64), "not those of the manifest"),
        (_set(["layers", 0, "name"], "purple"), "purple"),
        (_set(["layers", 1, "name"], "red"), "twice"),
        (_set(["layers", 1, "name"], "pca_1"), "needs a fit of pca"),
        (_set(["layers", 0, "units"], "DN"), "units"),
        (_set(["layers", 0, "direction"], "east"), "direction"),
        (lambda m: m["layers"][0].pop("statistics"), "statistics"),
        (lambda m: m["layers"].pop(), "shape|tensor"),
        (_set(["model", "encoder"], "resnet18"), "weights do not fit"),
        (_set(["model", "encoder"], "resnet0"), "resnet0"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused_by_name(folder, change, named):
    """T6, and DESIGN's refusals."""
    _edit(folder, change)
    with pytest.raises(BundleError, match=named):
        load_bundle(folder)


@pytest.mark.parametrize(
    ("name", "content", "named"),
    [
        (WEIGHTS, b"", "not those"),
        (WEIGHTS, None, "no weights"),
        (MANIFEST, b"{", "manifest"),
        (MANIFEST, None, "no bundle"),
        (MANIFEST, b" " * 6_000_000, "too large"),
    ],
)
def test_damaged_or_missing_files_are_refused(folder, name, content, named):
    (folder / name).unlink() if content is None else (folder / name).write_bytes(content)
    with pytest.raises(BundleError, match=named):
        load_bundle(folder)


def test_a_pickle_in_place_of_weights_is_refused(folder):
    torch.save({"weight": torch.zeros(3)}, folder / WEIGHTS)
    import hashlib

    digest = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    _edit(folder, _set(["weights_sha256"], digest))
    with pytest.raises(BundleError, match="cannot be read"):
        load_bundle(folder)


def test_nothing_is_overwritten_unasked_and_nothing_left_behind(bundle, folder, tmp_path):
    with pytest.raises(BundleError, match="exists"):
        save_bundle(bundle, folder)
    (tmp_path / "notes").mkdir()
    with pytest.raises(BundleError, match="something else"):
        save_bundle(bundle, tmp_path / "notes", overwrite=True)
    save_bundle(bundle, folder, overwrite=True)
    assert {p.name for p in tmp_path.iterdir()} == {"bundle", "notes"}


def test_a_failed_write_keeps_the_old_bundle(bundle, folder, monkeypatch, tmp_path):
    before = (folder / MANIFEST).read_bytes()

    def fail(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("cryonet.bundle.model_card", fail)
    with pytest.raises(BundleError, match="No space"):
        save_bundle(bundle, folder, overwrite=True)
    assert (folder / MANIFEST).read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["bundle"]


def test_weights_keep_their_values_through_the_manifest_hash(bundle):
    state = bundle.module.state_dict()
    name = next(iter(state))
    kept = state[name].clone()
    state[name][0] += 1
    try:
        with pytest.raises(BundleError, match="not those"):
            save_bundle(bundle, "never-written")
    finally:
        state[name].copy_(kept)
    assert np.isfinite(kept.numpy()).all()
