"""Training: the loop of `cryonet.train` beside a bare PyTorch loop.

Run with ``python tests/benchmarks/bench_train.py [CHIP] [ROUNDS]``. All programs train the same
network from the same weights, in channels-last form, with AdamW, the same loss and batches of
the same size, on one thread of torch; the CPU gives them no GPU.

The bare loop finds its batches in memory as tensors: forward, loss, backward, step, zero. Ours
does what a run does between validations: it draws, cuts, turns and brightens every chip, clips
gradients, moves the learning rate, averages the weights, counts and reports. It does so as by
default, with batches cut ahead in a background thread (which may use a second core), and with
each cut in turn. A run of steps begins with an empty queue, so the first batch is waited for.
Not in the time: making the training set, validation, writing of bundles.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from turns import Tasks, start

STEPS, BATCH, SCENE = 8, 4, 512


def tasks(chip: int) -> Tasks:
    """Return the loops for chips of `chip` pixels."""
    import torch

    from cryonet.batches import batch_numbers, draw_batch
    from cryonet.config import TrainConfig
    from cryonet.learner import Learner
    from cryonet.losses import pick_loss
    from cryonet.models import build_model
    from cryonet.prefetch import Prefetch
    from cryonet.processes import Together, make_fabric
    from cryonet.progress import SILENT
    from cryonet.synthetic import make_scene
    from cryonet.throughput import Throughput
    from cryonet.train import run_steps
    from cryonet.trainset import make_trainset

    torch.set_num_threads(1)
    config = TrainConfig.model_validate(
        {
            "scenes": ("made",),
            "out": Path(tempfile.gettempdir()) / "none",
            "features": {"stack": "lean"},
            "split": {"test": "none", "block": 64, "gap": 0},
            "model": {
                "encoder": "tu-mobilenetv3_small_100",
                "decoder_channels": (64, 48, 32, 24, 16),
            },
            "chip": chip,
            "batch": BATCH,
            "epochs": 1000,
            "steps_per_epoch": STEPS,
            "accelerator": "cpu",
        }
    )
    data = make_trainset([make_scene(SCENE, seed=0)], config)

    def network() -> torch.nn.Module:
        made = build_model(config.model, layers=len(data.specs), classes=4, seed=0)
        return made.to(memory_format=torch.channels_last).train()

    def ours(ahead: int) -> Callable[[], object]:
        fabric = make_fabric(config)
        fabric.launch()
        learner = Learner(fabric, network(), config)
        together = Together(fabric, SILENT)

        def batch(index: int) -> tuple[torch.Tensor, torch.Tensor]:
            images, labels = draw_batch(
                data, config, batch_numbers(index, config, rank=0, processes=1)
            )
            return images.contiguous(memory_format=torch.channels_last), labels

        def job() -> None:
            with Prefetch(batch, STEPS, ahead=ahead) as batches:
                run_steps(fabric, learner, batches, config, 1, (Throughput(),), together)

        return job

    def bare() -> Callable[[], object]:
        module, loss_of = network(), pick_loss(config.loss)
        optimiser = torch.optim.AdamW(
            module.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        given = []
        for index in range(STEPS):
            images, labels = draw_batch(data, config, range(index * BATCH, (index + 1) * BATCH))
            given.append((images.contiguous(memory_format=torch.channels_last), labels))

        def job() -> None:
            for images, labels in given:
                optimiser.zero_grad()
                loss_of(module(images), labels).backward()
                optimiser.step()

        return job

    pixels = STEPS * BATCH * chip**2
    return {
        f"train, {len(data.specs)} layers, batches of {BATCH}": {
            "cryonet": (ours(2), pixels),
            "cryonet, chips cut in turn": (ours(0), pixels),
            "bare PyTorch": (bare(), pixels),
        }
    }


if __name__ == "__main__":
    start(tasks, (128,), 9)
