"""What the page tells of passport and scene: settings, terms, and the command that was run."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from cryonet.cli import app
from cryonet.prediction_files import PredictionFiles
from cryonet.report.facts import (
    command_of,
    day_and_minute,
    layers_by_family,
    model_rows,
    settings_rows,
    source_files,
    source_rows,
)
from cryonet.report.origins import BundleUnder
from cryonet.report.told import ModelTold, read_told


def scene(**properties):
    return SimpleNamespace(item={"properties": properties}, path=Path("my scene"))


def command(told, *, bundles=(), under=None):
    return command_of(SimpleNamespace(path=Path("map")), read_told(told), under, bundles)


def test_the_command_has_what_was_not_left_to_its_default():
    one, two = {"weights_sha256": "aa", "overlap": 0.25}, {"weights_sha256": "bb", "overlap": 0.25}
    settings = {"device": "cpu", "batch": 2, "blend": "mean", "flips": True, "calibrated": False}
    made = {"overlap": 0.5}
    told = {"members": [one, two], "settings": settings, "prediction": made}
    # The second bundle alone is known: it takes the second place, not the first.
    bundles = [BundleUnder(Path("here/second"), "", "bb")]
    assert command(told, bundles=bundles, under=scene()) == (
        "cryonet predict BUNDLE-1 'my scene' map --device cpu --batch 2 --blend mean "
        "--overlap 0.5 --flips --uncalibrated --with second"
    )
    plain = {"bundle": one, "prediction": {"overlap": 0.25}}
    assert command(plain) == "cryonet predict BUNDLE-1 SCENE map"
    assert command({"bundle": one}) == "cryonet predict BUNDLE-1 SCENE map"


def test_the_command_is_one_that_predict_takes():
    shown = CliRunner().invoke(app, ["predict", "--help"], terminal_width=200).output
    for option in ("device", "batch", "blend", "overlap", "flips", "uncalibrated", "with"):
        assert f"--{option}" in shown


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("2020-09-03T05:00:00Z", "3 September 2020, 05:00 UTC"),
        ("2020-09-03T01:30:00+05:45", "2 September 2020, 19:45 UTC"),
        ("2020-09-03", "3 September 2020"),
        ("autumn", "autumn"),
        ("0001-01-01T00:00:00+05:00", "0001-01-01T00:00:00+05:00"),
        ("", ""),
    ],
)
def test_times_are_told_in_utc(given, shown):
    assert day_and_minute(given) == shown


def test_terms_stand_before_the_files(shared):
    under = scene(**{
        "cryonet:terms": "Free of charge.",
        "license": "CC-BY-4.0",
        "cryonet:sources": [{"variable": "red", "file": "B4.tif", "sha256": "ab"}, "odd"],
        "cryonet:labels": {
            "files": [{"role": "glacier", "file": "rgi.gpkg"}], "rule_in_words": "red >= 0.5",
        },
    })  # fmt: skip
    assert source_rows(under) == [
        ("terms", "Free of charge."), ("license", "CC-BY-4.0"), ("clean ice", "red >= 0.5"),
    ]  # fmt: skip
    assert source_files(under) == [("red", "file B4.tif, sha256 ab"), ("glacier", "file rgi.gpkg")]
    odd = scene(**{"cryonet:labels": 5, "cryonet:sources": {"a": 1}})
    assert source_rows(odd) == [("terms", "The scene states none.")] and source_files(odd) == []
    assert "is not there" in source_rows(None)[0][1] and source_files(None) == []


def test_settings_have_their_units(shared):
    told = {"prediction": {"seconds": 12.5, "tile": 128, "overlap": 0.25, "flips": 0}}
    with PredictionFiles(shared.map) as files:
        rows = dict(settings_rows(files, read_told(told)))
    assert rows["pixel"] == "10 m × 10 m" and rows["size"] == "61 rows × 83 columns"
    assert (rows["time taken"], rows["window"], rows["overlap"]) == ("12.5 s", "128 pixels", "25%")
    assert rows["orientations"] == "1" and rows["calibrated"] == "no"
    assert "device" not in rows and "blend" not in rows


def test_a_model_is_told_by_its_manifest():
    layers = [{"name": n, "family": f} for n, f in (("red", "optical"), ("nir", "optical"))]
    told = ModelTold.model_validate(
        {
            "title": "one",
            "model": {"architecture": "unet", "encoder": "resnet18"},
            "layers": [*layers, {"name": "slope", "family": "terrain"}],
            "training": {"scenes": [{"id": "a", "synthetic": True}, {"id": "b"}], "seed": 3},
        }
    )
    rows = dict(model_rows(told))
    assert rows["architecture"] == "unet, resnet18" and rows["calibration"] == "none"
    assert rows["trained on"] == "a (synthetic); b" and rows["seed"] == "3"
    assert layers_by_family(told) == [("optical", "red, nir"), ("terrain", "slope")]
