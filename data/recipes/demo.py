"""Make the embedded sample: a synthetic scene, the demo bundle and its prediction."""

from __future__ import annotations

import shutil
from pathlib import Path

from cryonet.card_workflow import run_card
from cryonet.config import load_config
from cryonet.console import ConsoleProgress
from cryonet.predict_workflow import run_prediction
from cryonet.workflows import make_synthetic, run_training

DATA = Path(__file__).resolve().parents[1]
DEMO, TRAINING = DATA / "demo", DATA / "demo-training"
SIZE = 384
SEEDS = (1, 2, 3, 4)


def main() -> None:
    """Generate, train, measure, predict; training scenes are made anew and not kept."""
    scenes = [TRAINING / f"poiqu-{seed}" for seed in SEEDS]
    for seed, scene in zip(SEEDS, scenes, strict=True):
        make_synthetic(scene, size=SIZE, seed=seed, overwrite=True)
    make_synthetic(DEMO / "scene", size=SIZE, seed=0, overwrite=True)
    with ConsoleProgress("demo bundle") as progress:
        run_training(load_config(DATA / "recipes" / "demo.toml"), overwrite=True, progress=progress)
    shutil.rmtree(DEMO / "bundle-logs", ignore_errors=True)
    # Its card: the demo scene, and a region it has seen nothing of.
    other = make_synthetic(
        TRAINING / "montblanc-0", size=SIZE, seed=0, region="montblanc", overwrite=True
    )
    with ConsoleProgress("its card") as progress:
        run_card(DEMO / "bundle", [DEMO / "scene", other], device="cpu", progress=progress)
    run_prediction(
        DEMO / "bundle", DEMO / "scene", DEMO / "prediction", device="cpu", overwrite=True
    )
    shutil.rmtree(TRAINING)


if __name__ == "__main__":
    main()
