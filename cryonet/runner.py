"""Runner: a network on a device, from inputs to class probabilities."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cryonet.augment import DIHEDRALS, turn
from cryonet.errors import ConfigError, CryonetError

#: What a network may compute in: single precision, or mixed with one of half the bits.
PRECISIONS: Mapping[str, torch.dtype | None] = MappingProxyType(
    {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
)


@dataclass(frozen=True, slots=True)
class Staged:
    """A batch on its way to a device, and what tells that it is there."""

    image: Tensor
    ready: torch.cuda.Event | None = None


def pick_device(name: str = "auto") -> torch.device:
    """Return the device called ``auto``, ``cpu`` or ``cuda``; auto prefers the GPU.

    Raises
    ------
    ConfigError
        If the name is unknown, or there is no GPU to use.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise ConfigError("the device is unknown", name, "Give auto, cpu or cuda.")
    present = torch.cuda.is_available()
    if name == "cuda" and not present:
        raise ConfigError("there is no CUDA device", name, "Give cpu, or install a CUDA torch.")
    return torch.device("cuda" if present and name != "cpu" else "cpu")


class Runner:
    """From inputs ``(batch, layer, y, x)`` to class probabilities, in pieces if memory runs out.

    Parameters
    ----------
    flips
        The probabilities are the mean over the eight flips and rotations, with the layers
        that are directions (channel numbers in `pairs`) turned as well.
    precision
        One of `PRECISIONS`. The first batch is run in single precision, too.

    Attributes
    ----------
    largest
        How many windows at once memory was found to hold; None while it holds all.
    check
        Of mixed precision, how the first batch compared with single: the largest ``difference``
        of a probability, the ``agreement`` of classes, and how many ``windows`` it had.

    Raises
    ------
    ConfigError
        If the precision is unknown.
    """

    def __init__(
        self,
        module: nn.Module,
        device: torch.device,
        *,
        flips: bool = False,
        pairs: Sequence[tuple[int, int]] = (),
        precision: str = "fp32",
    ) -> None:
        if precision not in PRECISIONS:
            rule = f"Give {', '.join(PRECISIONS)}."
            raise ConfigError("the precision is unknown", precision, rule)
        self.precision = precision
        self.check: dict[str, float] = {}
        self._module, self._device, self._pairs = module.to(device).eval(), device, pairs
        self._dihedrals = DIHEDRALS if flips else DIHEDRALS[:1]
        self.largest: int | None = None
        self._copies = None
        if device.type == "cuda":
            self._copies = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]

    def stage(self, inputs: NDArray[np.float32]) -> Staged:
        """Begin to bring a batch to the device, while another is computed there."""
        image = torch.from_numpy(inputs)
        if self._copies is None:
            return Staged(image)
        try:
            with torch.cuda.stream(self._copies):
                there = image.pin_memory().to(self._device, non_blocking=True)
                return Staged(there, self._copies.record_event())
        except RuntimeError as error:
            if not _out_of_memory(error):
                raise
            return Staged(image)  # In pieces, when it is run.

    def __call__(self, inputs: NDArray[np.float32] | Staged) -> NDArray[np.float32]:
        """Return the probabilities of a batch.

        Raises
        ------
        CryonetError
            If memory does not hold a single window, or half precision not the numbers.
        """
        staged = inputs if isinstance(inputs, Staged) else self.stage(inputs)
        if staged.ready is not None:
            stream = torch.cuda.current_stream(self._device)
            stream.wait_event(staged.ready)
            # Else its memory could be given to the next batch while this one is computed.
            staged.image.record_stream(stream)
        found = self._in_pieces(staged.image, PRECISIONS[self.precision])
        if PRECISIONS[self.precision] is not None and not self.check:
            self.check = self._compare(staged.image, found)
        return found

    def _in_pieces(self, image: Tensor, kind: torch.dtype | None) -> NDArray[np.float32]:
        parts: list[NDArray[np.float32]] = []
        done = 0
        while done < len(image):
            size = min(len(image) - done, self.largest or len(image))
            try:
                parts.append(self._run(image[done : done + size], kind))
                done += size
            except RuntimeError as error:
                if not _out_of_memory(error):
                    raise
                self._halve(size, image.shape[1:])
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _halve(self, size: int, shape: Sequence[int]) -> None:
        if size == 1:
            raise CryonetError(
                "a window does not fit into the memory of the device",
                f"{shape[0]} layers of {shape[1]} × {shape[2]} pixels on {self._device}",
                "Take a device with more memory, or a model with a smaller window.",
            )
        self.largest = size // 2
        if self._device.type == "cuda":
            torch.cuda.empty_cache()

    def _compare(self, image: Tensor, found: NDArray[np.float32]) -> dict[str, float]:
        if not np.isfinite(found).all():
            rule = "Give bf16, whose numbers reach as far as single precision, or fp32."
            raise CryonetError("the network's numbers are too large", self.precision, rule)
        exact = self._in_pieces(image, None)
        agree = (exact.argmax(axis=1) == found.argmax(axis=1)).mean()
        return {
            "difference": float(f"{np.abs(exact - found).max():.3g}"),
            "agreement": round(float(agree), 6),
            "windows": len(found),
        }

    def _run(self, image: Tensor, kind: torch.dtype | None) -> NDArray[np.float32]:
        image = image.to(self._device)
        mixed = torch.autocast(self._device.type, kind, enabled=kind is not None)
        with torch.inference_mode(), mixed:
            total: torch.Tensor | None = None
            for dihedral in self._dihedrals:
                turned = turn(image, dihedral, self._pairs)
                turned = turned.contiguous(memory_format=torch.channels_last)
                logits = self._module(turned).float().contiguous()
                share = turn(logits.softmax(dim=1), dihedral.inverse)
                total = share if total is None else total + share
            assert total is not None
            if len(self._dihedrals) > 1:
                total /= len(self._dihedrals)
            mean: NDArray[np.float32] = total.cpu().numpy()
        return mean


def _out_of_memory(error: RuntimeError) -> bool:
    # On the CPU torch has no error of its own for it.
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)
