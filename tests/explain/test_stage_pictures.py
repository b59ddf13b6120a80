"""`cryonet explain --stages`: what is written and drawn of the encoder's stages."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import rasterio
from matplotlib.figure import Figure
from rio_cogeo import cog_validate

from cryonet.bundle import load_bundle
from cryonet.explain.questions import of_class
from cryonet.explain.stages import explain_stages
from cryonet.explain.words import signed
from cryonet.explain_workflow import Place, run_explanation
from cryonet.grid import Window
from cryonet.plotting import plot_stages
from cryonet.scene import open_scene

DEMO = Path(__file__).resolve().parents[2] / "data/demo"
PART = Window(64, 64, 96, 128)


@pytest.fixture(scope="module")
def found():
    bundle, scene = load_bundle(DEMO / "bundle"), open_scene(DEMO / "scene").load()
    return explain_stages(bundle, scene, of_class(bundle, scene, "debris", PART))


def test_the_folder_has_the_stages_too(found, tmp_path: Path) -> None:
    run_explanation(
        DEMO / "bundle", DEMO / "scene", tmp_path / "why", Place(target="debris", window=PART),
        method="family occlusion", stages=True,
    )  # fmt: skip
    record = json.loads((tmp_path / "why/explanation.json").read_text())
    assert record["stages"]["by_stage"] == pytest.approx(found.by_stage)
    assert record["stages"]["method"] == "stage grad-cam"
    file = tmp_path / "why/stages.tif"
    assert cog_validate(file)[0]
    with rasterio.open(file) as made:
        assert made.descriptions == tuple(found.by_stage)
        assert made.tags()["CRYONET_INPUT"] == "synthetic"
        np.testing.assert_allclose(made.read(), found.maps.values, atol=1e-6)
    assert (tmp_path / "why/stages.png").read_bytes().startswith(b"\x89PNG")


def test_each_stage_has_a_panel_and_a_scale_of_its_own(found) -> None:
    figure = plot_stages(found)
    assert isinstance(figure, Figure)
    panels = [ax for ax in figure.axes if ax.get_title()]
    titles = [f"{name}\n{signed(total)} in all" for name, total in found.by_stage.items()]
    assert [ax.get_title() for ax in panels] == titles
    for ax, values in zip(panels, found.maps.values, strict=True):
        low, high = ax.images[0].get_clim()
        assert low == -high and high == pytest.approx(np.percentile(np.abs(values), 99.8), rel=0.1)
    assert "not its input layers" in figure.get_suptitle()
