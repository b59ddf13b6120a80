"""Pictures: what is drawn where, in which colours, and that nothing is shown."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_rgb
from matplotlib.image import AxesImage
from odc.geo.geobox import GeoBox
from odc.geo.xr import wrap_xr
from skimage.color import rgb2lab

from conftest import grid
from cryonet.classes import CLASSES
from cryonet.confidence import ConfidenceShares
from cryonet.errors import CryonetError, LayerError, SceneError
from cryonet.evaluate import score, score_probabilities
from cryonet.hypsometry import Hypsometry
from cryonet.layers import build_stack
from cryonet.plotting import (
    layer_gallery,
    plot_classes,
    plot_composite,
    plot_confidence,
    plot_confusion,
    plot_distributions,
    plot_errors,
    plot_history,
    plot_hypsometry,
    plot_layer,
    plot_outlines,
    plot_reliability,
    plot_spectra,
    plot_splits,
)
from cryonet.plotting.maps import ERROR_ROWS, MISSING, SPLIT_ROWS
from cryonet.scene import scene_from_arrays


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with mpl.rc_context():
        mpl.use("Agg")
        monkeypatch.setattr(plt, "show", lambda *_, **__: pytest.fail("a plot was shown"))
        yield
        plt.close("all")


def image_of(ax: plt.Axes) -> AxesImage:
    (image,) = ax.get_images()
    return image


def colours_of(ax: plt.Axes) -> np.ndarray:
    """The RGB each pixel is painted in, as the renderer would."""
    image = image_of(ax)
    return np.asarray(image.to_rgba(image.get_array()))[..., :3]


def test_a_given_axes_is_used_and_returned(blobs: xr.Dataset) -> None:
    _, ax = plt.subplots()
    assert plot_classes(blobs["labels"], ax=ax) is ax
    assert len(plt.get_fignums()) == 1
    assert plot_classes(blobs["labels"]) is not ax


def test_a_composite_stretches_its_bands_alike_and_shows_holes_light() -> None:
    ramp = np.tile(np.linspace(0.1, 0.5, 50, dtype=np.float32), (40, 1))
    red, blue = ramp.copy(), ramp + 0.1
    red[3, 4] = np.nan
    scene = scene_from_arrays({"red": red, "green": ramp, "blue": blue}, grid(40, 50))
    ax = plot_composite(scene, gamma=1.0)
    picture = np.asarray(image_of(ax).get_array())
    assert picture[3, 4, 3] == 0
    assert ax.get_facecolor()[:3] == pytest.approx(to_rgb(MISSING))
    assert min(to_rgb(MISSING)) > 0.8
    inside = picture[20, 10:40]
    # One stretch for all three: a constant step between bands stays one.
    assert np.ptp(inside[:, 2] - inside[:, 1]) < 1e-6
    assert inside[:, 2] - inside[:, 1] == pytest.approx(0.1 / 0.48, rel=0.05)


def test_a_composite_of_one_shade_is_drawn() -> None:
    flat = np.full((8, 9), 0.2, np.float32)
    scene = scene_from_arrays(dict.fromkeys(("red", "green", "blue"), flat), grid(8, 9))
    assert np.isfinite(np.asarray(image_of(plot_composite(scene)).get_array())).all()


def test_a_composite_refuses_a_band_the_scene_lacks(blobs: xr.Dataset) -> None:
    with pytest.raises(SceneError, match=r"lacks a band: swir16\. It holds green, red"):
        plot_composite(blobs, bands=("swir16", "nir", "red"))


def test_classes_are_painted_in_their_own_colours() -> None:
    codes = np.array([[0, 1, 2], [3, 255, 255]], np.uint8)
    ax = plot_classes(codes)
    painted = colours_of(ax)
    for entry, (row, col) in zip(CLASSES, [(0, 0), (0, 1), (0, 2), (1, 0)], strict=True):
        assert painted[row, col] == pytest.approx(to_rgb(entry.colour))
    assert np.ma.getmaskarray(image_of(ax).get_array())[1].tolist() == [False, True, True]
    legend = [text.get_text() for text in ax.get_legend().get_texts()]
    assert legend == [*(c.title for c in CLASSES), "no data"]


def test_the_picture_stands_as_the_grid_does() -> None:
    """The first row is the north: the upper edge of the axes."""
    codes = wrap_xr(np.array([[1, 1], [2, 2], [2, 2]], np.uint8), grid(3, 2, cell=500.0))
    ax = plot_classes(codes)
    assert ax.get_xlim() == (0.0, 1.0)
    assert ax.get_ylim() == (0.0, 1.5)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("east, km", "north, km")
    assert image_of(ax).get_extent() == [0.0, 1.0, 0.0, 1.5]
    assert image_of(ax).origin == "upper"


def test_axes_of_plain_arrays_and_geographic_grids() -> None:
    codes = np.zeros((4, 6), np.uint8)
    assert plot_classes(codes).get_xlabel() == "column"
    box = GeoBox.from_bbox((86.0, 28.0, 86.6, 28.4), crs="EPSG:4326", shape=(4, 6))
    ax = plot_classes(wrap_xr(codes, box))
    assert ax.get_xlabel() == "longitude, °"
    assert ax.get_xlim() == pytest.approx((86.0, 86.6))


@pytest.mark.parametrize(
    ("name", "signed", "unit"),
    [("ndvi", True, "ndvi"), ("tpi", True, "tpi, m"), ("aspect_cos", True, "aspect_cos"),
     ("elevation", False, "elevation, m"), ("slope", False, "slope, degree"),
     ("red", False, "red")],
)  # fmt: skip
def test_a_layer_with_a_meaningful_zero_has_it_in_the_middle(
    blobs: xr.Dataset, name: str, signed: bool, unit: str
) -> None:
    layer = build_stack(blobs, [name])[name]
    ax = plot_layer(layer)
    low, high = image_of(ax).get_clim()
    assert (low == -high) is signed
    assert low < high
    assert image_of(ax).colorbar.ax.get_ylabel() == unit


def test_families_have_their_colour_maps() -> None:
    generator = np.random.default_rng(3)
    values = generator.uniform(0, 1, (32, 32)).astype(np.float32)
    scene = scene_from_arrays(
        {"red": values, "elevation": 4000 + values, "coherence": values, "phase": values},
        grid(32, 32),
    )
    coherence, phase = plot_layer(scene["coherence"]), plot_layer(scene["phase"])
    assert image_of(coherence).get_clim() == (0.0, 1.0)
    assert image_of(phase).get_clim() == pytest.approx((-np.pi, np.pi))
    assert image_of(phase).get_cmap().name == "twilight"
    found = {image_of(plot_layer(scene[n])).get_cmap().name for n in ("red", "elevation", "phase")}
    assert len(found) == 3


def test_an_empty_and_a_constant_layer_are_drawn() -> None:
    for value in (np.nan, 5.0):
        field = np.full((8, 9), value, np.float32)
        scene = scene_from_arrays({"elevation": field}, grid(8, 9))
        low, high = image_of(plot_layer(scene["elevation"])).get_clim()
        assert low < high


def test_splits_have_four_colours_and_a_legend() -> None:
    ax = plot_splits(np.array([[0, 1], [2, 3]], np.uint8))
    painted = {tuple(colour) for colour in colours_of(ax).reshape(-1, 3).round(4).tolist()}
    assert len(painted) == 4
    legend = [text.get_text() for text in ax.get_legend().get_texts()]
    assert legend == ["training", "validation", "test", "gap, not used"]


def test_errors_are_told_apart() -> None:
    labels = np.array([[2, 2, 0, 0, 255, 1]], np.uint8)
    mapped = np.array([[2, 0, 2, 0, 2, 255]], np.uint8)
    kinds = image_of(plot_errors(mapped, labels)).get_array()
    names = {code: text for code, text, _ in ERROR_ROWS}
    assert [names[int(code)] for code in kinds[0, :4]] == [
        "right", "missed", "false", "rightly not mapped",
    ]  # fmt: skip
    assert np.ma.getmaskarray(kinds)[0, 4:].all()


def test_errors_refuse_an_unknown_class_and_other_shapes() -> None:
    codes = np.zeros((3, 3), np.uint8)
    with pytest.raises(CryonetError, match="no such class: ice"):
        plot_errors(codes, codes, name="ice")
    with pytest.raises(CryonetError, match="differ in shape"):
        plot_errors(codes, codes[:2])


#: How colours look without cones for long or for middle wavelengths: linear RGB to linear
#: RGB, Machado, Oliveira and Fernandes 2009, IEEE Trans. Vis. Comput. Graph. 15(6), table 1.
BLINDNESS = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
                   [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
                     [-0.011820, 0.042940, 0.968881]],
}  # fmt: skip


def seen(colour: str, matrix: list[list[float]]) -> np.ndarray:
    linear = np.array(to_rgb(colour)) ** 2.2
    return rgb2lab(np.clip(np.array(matrix) @ linear, 0, 1) ** (1 / 2.2))


@pytest.mark.parametrize("kind", BLINDNESS)
@pytest.mark.parametrize(
    "colours",
    [[row[2] for row in ERROR_ROWS], [row[2] for row in SPLIT_ROWS], [c.colour for c in CLASSES]],
    ids=["errors", "splits", "classes"],
)
def test_colours_are_told_apart_by_colour_blind_eyes(kind: str, colours: list[str]) -> None:
    for first, second in combinations(colours, 2):
        apart = np.linalg.norm(seen(first, BLINDNESS[kind]) - seen(second, BLINDNESS[kind]))
        assert apart > 20, (first, second)


def test_an_outline_follows_its_class() -> None:
    codes = np.zeros((20, 30), np.uint8)
    codes[2:8, 10:20] = 2
    labels = wrap_xr(codes, grid(20, 30, cell=100.0))
    ax = plot_outlines(labels, ax=plot_classes(labels))
    (drawn,) = ax.collections
    points = np.concatenate([path.vertices for path in drawn.get_paths()])
    # Rows 2 to 8 from the north of a 2 km map: 1.2 to 1.8 km from the south.
    assert points.min(axis=0) == pytest.approx([1.0, 1.2], abs=0.06)
    assert points.max(axis=0) == pytest.approx([2.0, 1.8], abs=0.06)


def test_spectra_are_medians_of_labelled_pixels() -> None:
    labels = np.zeros((10, 10), np.uint8)
    labels[:5] = 2
    red = np.where(labels == 2, 0.3, 0.1).astype(np.float32)
    red[0, 0] = np.nan
    red[:, 6:] += 0.2  # 40 %: moves mean and upper quartile, not the median
    scene = scene_from_arrays({"red": red, "nir": red * 2, "labels": labels}, grid(10, 10))
    ax = plot_spectra(scene, names=("other", "debris", "lake"))
    other, debris = ax.get_lines()
    assert debris.get_xdata() == pytest.approx([664.6, 832.8])
    assert debris.get_ydata() == pytest.approx([0.3, 0.6])
    assert other.get_ydata() == pytest.approx([0.1, 0.2])


def test_spectra_need_labels(blobs: xr.Dataset) -> None:
    with pytest.raises(SceneError, match="no spectra"):
        plot_spectra(blobs.drop_vars("labels"))


def test_distributions_are_of_area_one_and_keep_the_classes_apart() -> None:
    generator = np.random.default_rng(11)
    labels = np.repeat(np.array([[0], [2]], np.uint8), 3000, axis=1)
    labels = np.vstack([labels[:1]] * 9 + [labels[1:]])
    values = generator.normal(np.where(labels == 2, 10, 30), 2).astype(np.float32)
    values[0, :50] = np.nan
    box = grid(*labels.shape)
    scene = scene_from_arrays({"elevation": values, "labels": labels}, box)
    ax = plot_distributions(scene["elevation"], scene["labels"])
    rock, debris = (patch.get_data() for patch in ax.patches)
    for values_, edges, _ in (rock, debris):
        assert (values_ * np.diff(edges)).sum() == pytest.approx(1, abs=0.02)
    assert np.average(debris[1][:-1], weights=debris[0]) == pytest.approx(10, abs=1)
    assert np.average(rock[1][:-1], weights=rock[0]) == pytest.approx(30, abs=1)
    assert ax.get_xlabel() == "elevation, m"


def test_distributions_refuse_classes_that_do_not_occur(blobs: xr.Dataset) -> None:
    with pytest.raises(CryonetError, match="nothing to compare"):
        plot_distributions(blobs["red"], blobs["labels"], names=("lake",))


def test_history_from_records_and_from_a_file_agree(tmp_path: Path) -> None:
    records = [
        {"epoch": 1, "loss": 1.5, "macro_iou": 0.3, "iou_debris": 0.1, "iou_lake": float("nan")},
        {"epoch": 2, "loss": 1.0, "macro_iou": 0.5, "iou_debris": 0.4, "iou_lake": float("nan")},
    ]
    file = tmp_path / "metrics.csv"
    lines = [",".join(records[0]), *(",".join(str(v) for v in row.values()) for row in records)]
    file.write_text("\n".join(lines) + "\n")
    for source in (records, file, str(file)):
        ax = plot_history(source)
        drawn = {line.get_label(): line.get_ydata() for line in ax.get_lines()}
        assert drawn["debris-covered ice"] == pytest.approx([0.1, 0.4])
        assert drawn["mean of the classes"] == pytest.approx([0.3, 0.5])
        assert ax.get_ylim() == (0, 1)


def test_history_refuses_nothing(tmp_path: Path) -> None:
    with pytest.raises(CryonetError, match="history is empty"):
        plot_history([])
    with pytest.raises(CryonetError, match="no history"):
        plot_history(tmp_path / "none.csv")


def test_confusion_shows_shares_of_the_labels() -> None:
    labels = np.array([[0, 0, 0, 0], [2, 2, 1, 1]], np.uint8)
    mapped = np.array([[0, 0, 0, 2], [2, 0, 1, 1]], np.uint8)
    scores = score(mapped, labels, grid(2, 4), classes=[c.name for c in CLASSES])
    ax = plot_confusion(scores)
    shares = np.asarray(image_of(ax).get_array())
    assert shares[0] == pytest.approx([0.75, 0, 0.25, 0])
    assert shares[2] == pytest.approx([0.5, 0, 0.5, 0])
    assert shares[3] == pytest.approx([0, 0, 0, 0])
    texts = {text.get_text() for text in ax.texts}
    assert "75%\n3" in texts
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("map", "label")


def test_reliability_draws_filled_bins_before_and_after() -> None:
    shares = np.array([[[0.9, 0.9, 0.9, 0.4]], [[0.1, 0.1, 0.1, 0.6]]], np.float32)
    labels = np.array([[0, 0, 1, 1]], np.uint8)
    scores = score_probabilities(shares, labels, temperature=0.5, bins=10)
    ax = plot_reliability(scores)
    before, after = (ax.get_lines()[i].get_xydata() for i in (1, 2))
    assert before == pytest.approx(np.array([[0.5505, 1], [0.75, 2 / 3]]), abs=1e-3)
    assert after == pytest.approx(np.array([[0.6, 1], [0.9, 2 / 3]]))
    assert sum(ax.patches[0].get_data().values) == pytest.approx(1)
    legend = ax.get_legend()
    assert legend is not None
    texts = [text.get_text() for text in legend.get_texts()]
    assert texts[1:] == ["as the model gave them, error 0.175", "calibrated, error 0.275"]
    with pytest.raises(CryonetError, match="reliability"):
        plot_reliability(())


def test_a_gallery_shows_every_layer_once_by_family() -> None:
    rng = np.random.default_rng(0)
    bands = ("green", "red", "nir")
    shape = (60, 900)
    arrays = {band: rng.random(shape).astype(np.float32) for band in bands}
    arrays["elevation"] = 5000 + 100 * rng.random(shape).astype(np.float32)
    stack = build_stack(scene_from_arrays(arrays, grid(*shape)))
    figure = layer_gallery(stack, columns=4)
    titles = [part.get_suptitle() for part in figure.subfigs]
    assert titles == ["Optical", "Indices", "Terrain"]
    texts = [text.get_text() for ax in figure.axes for text in ax.texts]
    assert [text.split("\n")[0] for text in texts] == list(stack.data_vars)
    assert any(text.startswith("slope\n") and text.endswith(" degree") for text in texts)
    assert any(re.fullmatch(r"elevation\n50\d\d … 50\d\d m", text) for text in texts)
    pictures = [ax for ax in figure.axes if ax.images]
    assert len(pictures) == len(stack)
    assert max(max(ax.images[0].get_array().shape) for ax in pictures) <= 400
    with pytest.raises(LayerError, match="stack is empty"):
        layer_gallery(xr.Dataset())


def test_hypsometry_stacks_ice_and_lakes_in_their_colours() -> None:
    km2 = np.array([[5.0, 5, 5], [1, 2, 0], [0, 3, 1], [0, 0, 0]])
    names = tuple(c.name for c in CLASSES)
    ax = plot_hypsometry(Hypsometry(names, np.array([0, 50, 100, 150]), km2, np.zeros(4)))
    bars = [(p.get_x(), p.get_y(), p.get_width(), p.get_facecolor()[:3]) for p in ax.patches]
    ice, debris = to_rgb(CLASSES[1].colour), to_rgb(CLASSES[2].colour)
    assert bars[:3] == [(0, 0, 1, ice), (0, 50, 2, ice), (0, 100, 0, ice)]
    assert bars[3:] == [(1, 0, 0, debris), (2, 50, 3, debris), (0, 100, 1, debris)]
    with pytest.raises(CryonetError, match="no hypsometry"):
        plot_hypsometry(Hypsometry(names, np.array([0, 50]), np.zeros((4, 1)), np.zeros(4)))


def test_confidence_bars_are_shares_of_a_class() -> None:
    km2 = np.zeros((4, 251))
    km2[1, [0, 62, 63, 124, 125, 224, 225, 250]] = 1.0
    km2[2, 250] = 4.0
    ax = plot_confidence(ConfidenceShares(tuple(c.name for c in CLASSES), km2))
    widths = np.array([p.get_width() for p in ax.patches]).reshape(5, 3)
    # Below 0.25, 0.5, 0.75, 0.9, and up to 1: of clean ice, debris, all.
    assert widths[:, 0] == pytest.approx([2 / 8, 2 / 8, 1 / 8, 1 / 8, 2 / 8])
    assert widths[:, 1] == pytest.approx([0, 0, 0, 0, 1])
    assert widths.sum(axis=0) == pytest.approx(1)
    assert [t.get_text() for t in ax.get_yticklabels()][-1] == "all"
    with pytest.raises(CryonetError, match="no confidence"):
        plot_confidence(ConfidenceShares(("other",), np.zeros((1, 251))))
