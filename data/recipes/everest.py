"""Train and score CryoNet on the real Landsat 7 Everest scene, both ways.

Usage: python data/recipes/everest.py FOLDER [--seeds 0 1 2]. The two folds run beside each
other, one thread each. The rows go to data/results/everest.json; the recipe that both folds
share and the time of each run go to everest_recipe.json beside it. Rows of other seeds that
stand there are kept.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import time
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WORK = ROOT / "data" / "everest"
RESULTS = ROOT / "data" / "results" / "everest.json"
RECIPE = ROOT / "data" / "results" / "everest_recipe.json"
FOLDS = ("west_to_east", "east_to_west")


def import_everest(folder: Path) -> Path:
    """Import the scene from its files in `folder`, unless it was imported before."""
    from cryonet.sample_scene import sample_scene

    scene = WORK / "scene"
    return scene if scene.exists() else sample_scene("everest", scene, mirror=folder)


class _Lines:
    """Progress as a line now and then: two folds share one terminal."""

    def __init__(self, name: str) -> None:
        self.name, self.start = name, time.monotonic()

    def step(self, done: int, total: int, message: str = "") -> None:
        if done and done % 50 == 0:
            spent = time.monotonic() - self.start
            left = spent / done * (total - done)
            print(f"{self.name}: {done}/{total} {message}, {left / 60:.1f} min left", flush=True)


def run_fold(job: tuple[str, int]) -> tuple[list[dict[str, object]], float]:
    """Train, predict with flips and score one fold; return its rows and its minutes."""
    fold, seed = job
    from cryonet.config import load_config
    from cryonet.predict_workflow import run_prediction
    from cryonet.workflows import run_evaluation, run_training

    config = load_config(ROOT / "data" / "recipes" / f"everest_{fold}.toml")
    out = WORK / f"{fold}_{seed}"
    config = config.model_copy(update={"seed": seed, "out": out})
    started = time.monotonic()
    run_training(config, overwrite=True, progress=_Lines(f"{fold} seed {seed}"))
    prediction = WORK / f"{fold}_{seed}_prediction"
    run_prediction(out, WORK / "scene", prediction, device="cpu", flips=True, overwrite=True)
    scores = run_evaluation(prediction, WORK / "scene", split="test")
    minutes = (time.monotonic() - started) / 60
    shown = ", ".join(f"{row.name} {row.iou:.3f}" for row in scores.classes)
    mean = f"mean {scores.macro_iou:.3f}, {minutes:.1f} min"
    print(f"{fold} seed {seed}: {shown}, {mean}", flush=True)
    rows: list[dict[str, object]] = [
        {
            "fold": fold,
            "seed": seed,
            "class": row.name,
            "iou": round(row.iou, 4),
            "precision": round(row.precision, 4),
            "recall": round(row.recall, 4),
        }
        for row in scores.classes
    ]
    return rows, minutes


def write_recipe(minutes: dict[str, float]) -> None:
    """Write what both folds share, and the minutes each run took beside the other fold's."""
    from cryonet.config import load_config

    config = load_config(ROOT / "data" / "recipes" / f"everest_{FOLDS[0]}.toml")
    shared = config.model_dump(mode="json", exclude={"scenes", "out", "title", "seed"})
    shared["split"]["test"] = "the other half"
    packages = ("cryonet", "torch", "segmentation-models-pytorch", "timm", "numpy")
    recipe = {
        "config": shared,
        "prediction": "mean over flips",
        "gap": "20 pixels between the halves",
        "minutes": dict(sorted(minutes.items())),
        "versions": {name: version(name) for name in packages},
    }
    RECIPE.write_text(json.dumps(recipe, indent=1) + "\n")


def main() -> None:
    """Run all seeds and folds asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="the folder everest_landsat7")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    given = parser.parse_args()
    if not given.folder.is_dir():
        parser.error(f"{given.folder} does not exist: see data/README.md for the files")
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    WORK.mkdir(parents=True, exist_ok=True)
    import_everest(given.folder)
    jobs = [(fold, seed) for seed in given.seeds for fold in FOLDS]
    kept = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    minutes = json.loads(RECIPE.read_text())["minutes"] if RECIPE.exists() else {}
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        for rows, spent in pool.imap(run_fold, jobs):
            done = (rows[0]["fold"], rows[0]["seed"])
            kept = [row for row in kept if (row["fold"], row["seed"]) != done] + rows
            kept.sort(key=lambda row: (row["seed"], row["fold"], row["class"]))
            RESULTS.write_text(json.dumps(kept, indent=1) + "\n")
            minutes[f"{done[0]}, seed {done[1]}"] = round(spent, 1)
            write_recipe(minutes)


if __name__ == "__main__":
    main()
