"""A network as an ONNX model, run on the CPU by ONNX Runtime in place of PyTorch."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from importlib.metadata import distributions, version
from typing import Any

import torch
from torch import Tensor, nn

from cryonet.errors import CryonetError

#: What runs a model, and what makes it; all three come with requirements.txt.
RUNTIME, PACKAGES = "onnxruntime", ("onnxruntime", "onnx", "onnxscript")

#: Most by which a probability may differ: a quarter of the step in which they are stored.
TOLERANCE = 1e-3

#: Least share of pixels that have the same class; beyond ties all have.
AGREEMENT = 0.999

#: What ONNX Runtime says when the system gives it no memory.
_NO_MEMORY = ("failed to allocate memory", "bad_alloc", "bad allocation", "out of memory")


@dataclass(frozen=True, slots=True)
class Check:
    """How a converted model compares with PyTorch on the inputs of `extreme_images`.

    Attributes
    ----------
    difference
        The greatest between two probabilities; NaN if one is no number.
    agreement
        Share of pixels with the same class.
    """

    difference: float
    agreement: float

    @property
    def good(self) -> bool:
        """Whether the model may stand in for the network."""
        return self.difference <= TOLERANCE and self.agreement >= AGREEMENT


class OnnxNetwork(nn.Module):
    """A converted network on the CPU: ``(batch, layer, y, x)`` to ``(batch, class, y, x)``.

    It takes any number of windows at once, all of the size that it was converted for, and as many
    threads as torch has when it is made.

    Raises
    ------
    CryonetError
        If `model` is none that ONNX Runtime can run.
    """

    def __init__(self, model: bytes) -> None:
        super().__init__()
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        # Threads that wait for work spin otherwise: torch, and the thread that reads, need theirs.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 4  # what goes wrong is raised
        try:
            self._session: Any = onnxruntime.InferenceSession(
                model, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # its errors have nothing in common
            raise _refused("ONNX Runtime cannot load the converted model", error) from error

    def forward(self, image: Tensor) -> Tensor:
        """Return logits.

        Raises
        ------
        torch.OutOfMemoryError
            If memory does not hold the batch.
        """
        try:
            found = self._session.run(None, {"image": image.contiguous().numpy()})
        except Exception as error:
            if any(sign in str(error).lower() for sign in _NO_MEMORY):
                raise torch.OutOfMemoryError(str(error)) from error
            raise
        return torch.from_numpy(found[0])


def missing_packages() -> list[str]:
    """Return which of `PACKAGES` are not installed."""
    return [name for name in PACKAGES if not any(distributions(name=name))]


def runtime_name() -> str:
    """Return the runtime with its version."""
    return f"{RUNTIME} {version(RUNTIME)}"


def to_onnx(module: nn.Module, layers: int, size: tuple[int, int]) -> bytes:
    """Return a network on the CPU, in evaluation mode, as an ONNX model.

    Parameters
    ----------
    layers, size
        Of its inputs: layers, and rows and columns. The number of windows stays free.

    Raises
    ------
    CryonetError
        If an operation of the network has no counterpart.
    """
    example = torch.zeros(2, layers, *size)
    batch = torch.export.Dim("batch")
    try:
        # torch's own exporter calls what torch calls old.
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            program = torch.export.export(module, (example,), dynamic_shapes=({0: batch},))
            made = torch.onnx.export(
                program, dynamo=True, input_names=["image"], output_names=["logits"], verbose=False
            )
        assert made is not None
        stored: bytes = made.model_proto.SerializeToString()
    except Exception as error:  # whatever the exporter stumbles over
        raise _refused("the network cannot be converted to ONNX", error) from error
    return stored


def _refused(what: str, error: Exception) -> CryonetError:
    said = str(error).strip().splitlines() or [""]
    return CryonetError(what, f"{type(error).__name__}: {said[0][:200]}", "Predict with torch.")


def extreme_images(layers: int, size: tuple[int, int]) -> Tensor:
    """Return inputs ``(3, layer, y, x)`` to compare on, always the same.

    Noise of the training pixels' mean and spread; noise five times as strong, beyond what most
    layers are clipped to; and the mean everywhere, as where families are filled.
    """
    noise = torch.randn(2, layers, *size, generator=torch.Generator().manual_seed(0))
    noise[1] *= 5
    return torch.cat([noise, torch.zeros(1, layers, *size)])


def compare(network: nn.Module, converted: nn.Module, images: Tensor) -> Check:
    """Return how two networks differ in the probabilities of some images, one at a time."""
    differences, agreements = [], []
    with torch.inference_mode():
        for image in images[:, None]:
            mine, theirs = (one(image).float().softmax(dim=1) for one in (network, converted))
            differences.append((mine - theirs).abs().max())
            agreements.append((mine.argmax(dim=1) == theirs.argmax(dim=1)).float().mean())
    return Check(float(torch.stack(differences).max()), float(torch.stack(agreements).mean()))
