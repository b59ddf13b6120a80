"""Pictures of attributions: bars are the totals, signs stand in words, nothing is cut off."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from made_attribution import LAYERS, attribution
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from skimage.color import rgb2lab

from cryonet.errors import CryonetError
from cryonet.explain.attribution import Attribution
from cryonet.explain.words import answer, signed
from cryonet.plotting import (
    explanation_figure,
    plot_attribution_maps,
    plot_curves,
    plot_families,
    plot_waterfall,
)
from cryonet.plotting.attribution import ADDS, AGAINST


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with mpl.rc_context():
        mpl.use("Agg")
        yield
        plt.close("all")


def texts(ax: plt.Axes) -> list[str]:
    legend = ax.get_legend()
    return [t.get_text() for t in (*ax.texts, *(legend.get_texts() if legend else ()))]


def overlaps(figure: Figure, ax: plt.Axes) -> list[tuple[str, str]]:
    """Pairs of labels and numbers of one Axes that lie over each other."""
    figure.canvas.draw()
    low, high = ax.get_xlim()
    ticks = zip(ax.get_xticks(), ax.get_xticklabels(), strict=True)
    shown = [label for at, label in ticks if low <= at <= high]
    shown += [*ax.get_yticklabels(), *ax.texts, ax.xaxis.label, *ax.get_legend().get_texts()]
    boxes = [(t.get_text(), t.get_window_extent().shrunk(0.9, 0.6)) for t in shown if t.get_text()]
    found = [
        (a, b)
        for i, (a, one) in enumerate(boxes)
        for b, other in boxes[i + 1 :]
        if one.overlaps(other)
    ]
    edge = figure.bbox
    found += [(a, "edge") for a, box in boxes if box.x0 < edge.x0 - 1 or box.x1 > edge.x1 + 1]
    return found


def test_bars_are_the_totals_of_families_and_of_their_layers() -> None:
    made = attribution()
    ax = plot_families(made)
    labels = [t.get_text() for t in ax.get_yticklabels()]
    widths = dict(zip(labels, [bar.get_width() for bar in ax.patches], strict=True))
    for family, total in made.by_family.items():
        assert widths[family] == pytest.approx(total)
    assert widths["slope"] == pytest.approx(made.by_layer["slope"])
    assert widths["red (665 nm) reflectance"] == pytest.approx(made.by_layer["red"])
    # Families of one layer have no bar for it, and families stand by size.
    assert "interferometric coherence" not in labels
    order = [label for label in labels if label in made.by_family]
    assert order == sorted(made.by_family, key=lambda f: -abs(made.by_family[f]))


def test_a_sign_is_told_by_colour_and_by_number_and_in_words() -> None:
    made = attribution()
    ax = plot_families(made)
    for bar in ax.patches:
        colour = ADDS if bar.get_width() >= 0 else AGAINST
        assert bar.get_facecolor()[:3] == pytest.approx(to_rgb(colour))
    shown = texts(ax)
    assert signed(made.by_family["terrain"]) in shown
    assert "+ adds to debris-covered ice" in shown
    assert "\N{MINUS SIGN} speaks against debris-covered ice" in shown
    against = texts(plot_families(attribution("against")))
    assert "\N{MINUS SIGN} speaks for glacial lake" in against
    errors = texts(plot_families(attribution("errors")))
    assert "+ more for debris-covered ice where the map is right" in errors


def test_the_title_says_question_method_baseline_and_completeness() -> None:
    title = plot_families(attribution()).get_title(loc="left").replace("\n", " ")
    for words in (
        "Why debris-covered ice at row 110",
        "column 220?",
        "integrated gradients",
        "training mean",
    ):
        assert words in title
    assert "2.0% off" in title


def test_the_colours_of_the_signs_are_told_apart_with_colour_blind_eyes() -> None:
    # Machado et al. (2009), protanopia and deuteranopia, in linear RGB.
    kinds = (
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216],
         [-0.003882, -0.048116, 1.051998]],
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
         [-0.011820, 0.042940, 0.968881]],
    )  # fmt: skip
    linear = [((np.array(to_rgb(c)) + 0.055) / 1.055) ** 2.4 for c in (ADDS, AGAINST)]
    for kind in kinds:
        seen = [np.clip(np.array(kind) @ c, 0, 1) for c in linear]
        one, other = (rgb2lab(np.where(c > 0, 1.055 * c ** (1 / 2.4) - 0.055, 0)) for c in seen)
        assert np.linalg.norm(one - other) > 40
        assert abs(one[0] - other[0]) > 25


def test_the_waterfall_goes_from_the_baseline_to_the_inputs_and_shows_what_is_missed() -> None:
    made = attribution(missed=0.2)
    ax = plot_waterfall(made)
    bars = ax.patches
    assert bars[0].get_x() == pytest.approx(made.base)
    for bar, then in pairwise(bars):
        assert then.get_x() == pytest.approx(bar.get_x() + bar.get_width())
    assert bars[-1].get_x() + bars[-1].get_width() == pytest.approx(made.value)
    labels = [t.get_text() for t in ax.get_yticklabels()]
    assert labels[0] == "baseline"
    assert labels[-2:] == ["not shared out", "this pixel"]
    whole = plot_waterfall(attribution(missed=0.0))
    assert "not shared out" not in [t.get_text() for t in whole.get_yticklabels()]


@pytest.mark.parametrize("kind", ["pixel", "many", "against", "errors"])
@pytest.mark.parametrize("scale", [1.0, -0.001, 300.0])
def test_no_label_lies_over_another_or_is_cut_off(kind: str, scale: float) -> None:
    made = attribution(kind, scale=scale)
    for plot in (plot_families, plot_waterfall):
        ax = plot(made)
        assert overlaps(ax.figure, ax) == []


def nothing() -> Attribution:
    made = attribution()
    zero = dict.fromkeys(made.by_layer, 0.0)
    families = dict.fromkeys(made.by_family, 0.0) | {"terrain": float("nan")}
    empty = None if made.maps is None else made.maps * 0
    return replace(made, by_layer=zero, by_family=families, maps=empty, value=-2.0)


def test_totals_of_nothing_are_drawn_and_said() -> None:
    made = nothing()
    assert np.isnan(made.gap)
    ax = plot_families(made)
    assert "?" in texts(ax)
    assert "nothing to share out" in ax.get_title(loc="left")
    plot_waterfall(made).figure.canvas.draw()
    explanation_figure(made, np.zeros((6, 32, 32), np.float32)).canvas.draw()
    assert "adds to debris-covered ice: nothing" in answer(made)


def test_maps_stand_beside_their_layers_on_one_scale_about_zero() -> None:
    made = attribution()
    values = np.random.default_rng(1).normal(size=(6, 32, 32)).astype(np.float32)
    figure = plot_attribution_maps(made, values, most=2)
    panels = [ax for ax in figure.axes if ax.get_images()]
    assert len(panels) == 4
    strongest = sorted(LAYERS, key=lambda name: -abs(made.by_layer[name]))[:2]
    for (left, right), name in zip((panels[:2], panels[2:]), strongest, strict=True):
        place = LAYERS.index(name)
        assert np.ma.filled(left.get_images()[0].get_array(), np.nan) == pytest.approx(
            values[place]
        )
        shown = right.get_images()[0]
        assert made.maps is not None
        kept = np.ma.filled(shown.get_array(), np.nan)
        assert np.array_equal(kept, made.maps.values[place].astype(float), equal_nan=True)
        low, high = shown.get_clim()
        assert low == -high
        assert high == panels[1].get_images()[0].get_clim()[1]
    labels = " ".join(ax.get_xlabel() for ax in figure.axes)
    assert "log-odds a pixel" in labels
    assert "slope" in panels[0].get_title()
    figure.canvas.draw()


def test_the_ring_lies_on_the_pixel_that_was_asked_about() -> None:
    made = attribution()
    figure = plot_attribution_maps(made, np.zeros((6, 32, 32), np.float32), most=1)
    ring = figure.axes[0].lines[0]
    # Row 10, column 20 of 32 pixels of 10 m, in km from the south-west corner.
    assert ring.get_xdata()[0] == pytest.approx(0.205)
    assert ring.get_ydata()[0] == pytest.approx(0.215)


def test_maps_are_refused_where_there_are_none_or_of_another_window() -> None:
    with pytest.raises(CryonetError, match="gives no maps: integrated gradients"):
        plot_attribution_maps(attribution(maps=False), np.zeros((6, 32, 32), np.float32))
    with pytest.raises(CryonetError, match="differ in shape"):
        plot_attribution_maps(attribution(), np.zeros((6, 32, 31), np.float32))


def test_curves_have_their_areas_in_the_legend() -> None:
    ax = plot_curves([2, 0, 0], [0, 2, 2], [[2, 1, 0], [2, 1, 0]])
    shown = texts(ax)
    assert "deletion: the strongest taken away first, area 0.50" in shown
    assert "insertion: the strongest put in first, area 1.50" in shown
    assert "taken away in random order, area 1.00" in shown
    uneven = texts(plot_curves([-2, 0, 0], [0, 2, 2], shares=[0, 0.1, 1]))
    assert "deletion: the strongest taken away first, area \N{MINUS SIGN}0.10" in uneven
    with pytest.raises(CryonetError, match="do not fit each other: 2, 3"):
        plot_curves([1, 2, 3], [1, 2])


def test_a_page_has_what_there_is() -> None:
    values = np.zeros((6, 32, 32), np.float32)
    curves = {"deletion": [1.0, 0.0], "insertion": [0.0, 1.0]}
    whole = explanation_figure(attribution(), values, curves=curves, note="synthetic data")
    bare = explanation_figure(attribution(maps=False), values)
    for page in (whole, bare):
        page.canvas.draw()
    assert len([ax for ax in whole.axes if ax.get_images()]) == 8
    assert len(bare.axes) == 2


def test_the_answer_in_words() -> None:
    made = attribution()
    lines = answer(made)
    assert lines[0] == "Why debris-covered ice at row 110, column 220?"
    chance = 1 / (1 + np.exp(-made.value))
    assert f"(probability {chance:.3f})" in lines[1]
    adds, against = lines[2], lines[3]
    assert adds.startswith("adds to debris-covered ice: terrain +")
    for family, total in made.by_family.items():
        assert (family in adds) == (total > 0)
        assert (family in against) == (total < 0)
    assert "integrated gradients, held against training mean" in lines[4]
    assert "probability" not in answer(attribution("against"))[1]


def test_maps_show_the_part_where_there_is_something_to_see() -> None:
    made = attribution()
    assert made.maps is not None
    maps = made.maps.copy(data=np.zeros((6, 32, 32), np.float32))
    maps[2, 9:12, 18:22] = 1
    shown = replace(made, maps=maps)
    values = np.random.default_rng(1).normal(size=(6, 32, 32)).astype(np.float32)
    figure = plot_attribution_maps(shown, values, most=1)
    left, right = (ax.get_images()[0] for ax in figure.axes[:2])
    # Rows 0 to 23 and columns 8 to 31: 24 pixels about row 10 and column 19, inside the window.
    place = LAYERS.index(max(made.by_layer, key=lambda name: abs(made.by_layer[name])))
    kept = np.ma.filled(left.get_array(), np.nan)
    assert kept == pytest.approx(values[place, :24, 7:31])
    assert right.get_array().shape == (24, 24)
    assert "the 24 × 24 of 32 × 32 pixels that matter" in figure.axes[-1].get_xlabel()
    assert left.get_extent() == right.get_extent()
    ring = figure.axes[1].lines[0]
    west, east, south, north = right.get_extent()
    assert west + (20 - 7 + 0.5) / 24 * (east - west) == pytest.approx(ring.get_xdata()[0])
    assert north + (10 + 0.5) / 24 * (south - north) == pytest.approx(ring.get_ydata()[0])
