"""Let transformers be built on torch's device ``meta``, where tensors have no values.

They lay out their rates of stochastic depth with ``torch.linspace`` and read them back as
numbers, which fails there. A bundle's network is first built there to learn its shapes
without its memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.overrides import TorchFunctionMode


class RatesOnCpu(TorchFunctionMode):
    """A context in which ``torch.linspace`` stays on the CPU, whatever the device is."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Call `func`, with its device changed if it is the one."""
        named = dict(kwargs or {})
        if func is torch.linspace:
            named["device"] = "cpu"
        return func(*args, **named)
