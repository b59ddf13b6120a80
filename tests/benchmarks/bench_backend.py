"""Prediction on the CPU: CryoNet with ResNet101 through ONNX Runtime and through PyTorch.

Run with ``python tests/benchmarks/bench_backend.py [TILE] [ROUNDS]``, on two threads. All programs
take the same window of 24 layers to the same logits, without reading, blending and writing; their
probabilities are held against each other first. Weights are random, with norms that have seen
noise. PyTorch runs eagerly, as it comes and with its images in channels-last form, as this project
runs it.

The matrix product, 4096² in single precision by PyTorch, counts as many pixels as the network
could do with its floating-point operations (`torch.utils.flop_counter`): "cryonet is" beside it
says which share of what this machine computes at best is reached.
"""

from __future__ import annotations

from collections.abc import Callable

from turns import FRESH, KEPT, Tasks, start

THREADS, LAYERS, PRODUCT = 2, 24, 4096


def tasks(tile: int) -> Tasks:
    """Return the programs for one window of `tile` pixels."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from cryonet.model_config import ModelConfig
    from cryonet.models import build_model
    from cryonet.onnx_model import OnnxNetwork, compare, to_onnx

    torch.set_num_threads(THREADS)
    network = build_model(ModelConfig(), layers=LAYERS, classes=4, seed=0).train()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for _ in range(10):
            network(torch.randn(4, LAYERS, 64, 64, generator=generator))
    network.eval()
    image = torch.randn(1, LAYERS, tile, tile, generator=generator)
    ours = OnnxNetwork(to_onnx(network, LAYERS, (tile, tile)))
    check = compare(network, ours, image)
    assert check.good, check
    with torch.inference_mode(), FlopCounterMode(display=False) as counter:
        network(image)
    square = torch.randn(PRODUCT, PRODUCT, generator=generator)
    pixels = float(tile * tile)
    worth = pixels * 2 * PRODUCT**3 / counter.get_total_flops()

    def run(module: torch.nn.Module, **form: torch.memory_format) -> Callable[[], object]:
        given = image.contiguous(**form)

        def job() -> object:
            with torch.inference_mode():
                return module(given)

        return job

    return {
        f"CryoNet, ResNet101, {LAYERS} layers, a window": {
            "cryonet": (run(ours), pixels),
            "PyTorch, eager": (run(network), pixels),
            "PyTorch, channels last": (
                run(network, memory_format=torch.channels_last),
                pixels,
            ),
            "matrix product of as many operations": (lambda: square @ square, worth),
        }
    }


if __name__ == "__main__":
    start(tasks, (512, 256), 9, threads=THREADS, states=(FRESH, KEPT))
