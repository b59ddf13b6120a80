"""Where the Everest maps are wrong, by cause: a figure and a table of shares.

Usage: python data/recipes/everest_errors.py [--seeds 0 1 2], after everest.py. Shares are of
the test pixels, the mean over the seeds; the maps show the first seed. They go to
data/results/everest_errors.json and everest_errors.png.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.patches import Patch
from numpy.typing import NDArray
from scipy import ndimage

from cryonet import open_prediction, open_scene
from cryonet.chips import TEST, split_map
from cryonet.config import load_config
from cryonet.plotting import plot_composite

ROOT = Path(__file__).resolve().parents[2]
WORK, RESULTS = ROOT / "data" / "everest", ROOT / "data" / "results"
FOLDS = ("west_to_east", "east_to_west")

#: What the class rule calls bright, and the ratio of blue to red above which dark ground lies
#: in shade: the sky lights it, and it is bluer than any lit rock of this scene.
BRIGHT, BLUE = 140 / 255, 1.25

#: Causes in the order in which they claim a wrong pixel, with a colour each.
CAUSES = (
    ("within 60 m of an outline's edge", "#b0b0b0"),
    ("snow outside the outlines mapped as glacier", "#56b4e9"),
    ("bright ice inside mapped as other", "#0072b2"),
    ("in shade", "#000000"),
    ("lit rock mapped as glacier", "#e69f00"),
    ("lit debris-covered ice mapped as other", "#d55e00"),
    ("clean and debris-covered ice mixed up", "#cc79a7"),
)


def causes(scene: dict[str, NDArray], mapped: NDArray, test: NDArray) -> NDArray[np.uint8]:
    """Return the number of the cause, from 1, of every wrong test pixel, 0 elsewhere."""
    truth, red, blue = scene["labels"], scene["red"], scene["blue"]
    inside, bright = truth > 0, red >= BRIGHT
    edge = ndimage.distance_transform_edt(inside) + ndimage.distance_transform_edt(~inside) <= 2
    rules = (
        edge,
        ~inside & bright,
        inside & bright & (mapped == 0),
        ~bright & (blue / red > BLUE),
        ~inside,
        mapped == 0,
        np.ones(truth.shape, bool),
    )
    wrong = test & (mapped != truth)
    found = np.zeros(truth.shape, np.uint8)
    for number, rule in enumerate(rules, start=1):
        found[wrong & rule & (found == 0)] = number
    return found


def main() -> None:
    """Read the maps that everest.py left, count and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    seeds = parser.parse_args().seeds
    scene = open_scene(WORK / "scene").compute()
    arrays = {name: scene[name].values for name in ("labels", "red", "blue")}
    colours = ListedColormap([(1, 1, 1, 0), *(colour for _, colour in CAUSES)])
    figure, axes = plt.subplots(1, 2, figsize=(11, 8), layout="constrained")
    rows = []
    for fold, ax in zip(FOLDS, axes, strict=True):
        config = load_config(ROOT / "data" / "recipes" / f"everest_{fold}.toml").split
        splits = split_map(arrays["labels"].shape, config, generator=np.random.default_rng(0))
        test = splits == TEST
        maps = [open_prediction(WORK / f"{fold}_{seed}_prediction") for seed in seeds]
        found = [causes(arrays, p["classes"].values, test) for p in maps]
        for number, (cause, _) in enumerate(CAUSES, start=1):
            share = np.mean([(one == number).sum() / test.sum() for one in found])
            rows.append({"fold": fold, "cause": cause, "share": round(float(share), 4)})
        columns = np.flatnonzero(test.any(axis=0))
        half = slice(columns[0], columns[-1] + 1)
        plot_composite(scene.isel(x=half), bands=("nir", "red", "green"), ax=ax)
        ax.imshow(
            found[0][:, half],
            cmap=colours,
            vmin=0,
            vmax=len(CAUSES),
            interpolation="nearest",
            extent=ax.get_images()[0].get_extent(),
        )
        ax.set_title(fold.replace("_", " "))
    dark = (arrays["labels"] == 2) & (arrays["blue"] / arrays["red"] > BLUE)
    shaded = dark.sum() / (arrays["labels"] == 2).sum()
    table = {"seeds": seeds, "debris labels in shade": round(float(shaded), 3), "rows": rows}
    (RESULTS / "everest_errors.json").write_text(json.dumps(table, indent=1) + "\n")
    legend = [Patch(color=colour, label=cause) for cause, colour in CAUSES]
    figure.legend(handles=legend, loc="outside lower center", ncols=2, frameon=False)
    figure.savefig(RESULTS / "everest_errors.png", dpi=90)


if __name__ == "__main__":
    main()
