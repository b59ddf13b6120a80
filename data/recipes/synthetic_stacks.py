"""Full stack against optical bands alone on the synthetic scene: same model, same budget.

Usage: python data/recipes/synthetic_stacks.py [--seeds 0 1 2]. Each seed has its own scene,
split and weights. Scores are those of the test blocks. The rows go to
data/results/synthetic.json.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from cryonet.chips import TEST
from cryonet.config import FeatureConfig, ModelConfig, SplitConfig, TrainConfig
from cryonet.evaluate import score
from cryonet.grid import geobox_of
from cryonet.predict import predict_scene
from cryonet.synthetic import make_scene
from cryonet.train import train
from cryonet.trainset import make_trainset

RESULTS = Path(__file__).resolve().parents[1] / "results" / "synthetic.json"
SIZE = 384


def recipe(seed: int, stack: str) -> TrainConfig:
    """Return the recipe, our choice, in which only seed and stack differ."""
    return TrainConfig(
        scenes=(Path("synthetic"),),
        out=Path("unused"),
        features=FeatureConfig(stack=stack),
        split=SplitConfig(test="blocks", block=64, gap=8, test_share=0.3),
        model=ModelConfig(encoder="tu-mobilenetv3_small_100", decoder_channels=(48, 32, 16)),
        chip=64,
        stride=16,
        balance=1.0,
        epochs=8,
        steps_per_epoch=50,
        learning_rate=3e-3,
        tile=64,
        overlap=0.5,
        weight_average=0.97,
        accelerator="cpu",
        threads=1,
        seed=seed,
    )


def main() -> None:
    """Train both stacks for each seed and write the scores."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    rows = []
    for seed in parser.parse_args().seeds:
        scene = make_scene(SIZE, seed=seed)
        for stack in ("optical", "full"):
            config = recipe(seed, stack)
            bundle = train([scene], config)
            test = make_trainset([scene], config).scenes[0].splits == TEST
            codes = predict_scene(bundle, scene, device="cpu")["classes"].values
            labels = np.asarray(scene["labels"].values)
            found = score(codes, labels, geobox_of(scene), classes=config.classes, mask=test)
            shown = ", ".join(f"{row.name} {row.iou:.3f}" for row in found.classes)
            print(f"seed {seed}, {stack}: {shown}", flush=True)
            rows += [
                {
                    "stack": stack,
                    "seed": seed,
                    "class": row.name,
                    # A class with no pixel in the test blocks has no score.
                    "iou": None if np.isnan(row.iou) else round(row.iou, 4),
                }
                for row in found.classes
            ]
    RESULTS.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
