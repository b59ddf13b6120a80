"""Backend: what runs a model's network on a prediction's windows, PyTorch or ONNX Runtime."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from statistics import median
from typing import Any

import torch
from torch import nn

from cryonet.bundle import Bundle, weights_bytes
from cryonet.errors import ConfigError, CryonetError
from cryonet.model_config import ModelConfig
from cryonet.onnx_cache import FOLDER, Kept
from cryonet.onnx_model import (
    AGREEMENT,
    PACKAGES,
    RUNTIME,
    TOLERANCE,
    Check,
    OnnxNetwork,
    compare,
    extreme_images,
    missing_packages,
    runtime_name,
    to_onnx,
)
from cryonet.progress import SILENT, Progress

BACKENDS = ("auto", "torch", RUNTIME)

#: ``auto`` tries ONNX Runtime for so many windows, each orientation counted; and if torch would
#: take so long for them, in seconds: converting a large network takes half a minute.
WINDOWS, SECONDS = 64, 60.0

#: So many times as fast ONNX Runtime must be for ``auto`` to take it, in the median of rounds.
GAIN, ROUNDS = 1.1, 3


@dataclass(frozen=True, slots=True)
class Engine:
    """A network ready to run.

    Attributes
    ----------
    module
        From inputs to logits.
    attrs
        What a prediction says of it: ``backend``, with its version if it is not torch; for ONNX
        Runtime ``backend_check``, how the model compared with torch; ``backend_remark`` if there
        is something to be told.
    """

    module: nn.Module
    attrs: dict[str, Any]


def engine_for(
    bundle: Bundle,
    size: tuple[int, int],
    *,
    backend: str,
    device: torch.device,
    windows: int = 1,
    progress: Progress = SILENT,
) -> Engine:
    """Return what runs a bundle's network; a converted one is made once and kept.

    With ``auto`` it is torch, unless all of this holds: the device is a CPU, the packages are
    there, `windows` are at least `WINDOWS`, torch would take `SECONDS` for them, the converted
    network agrees with torch, and it was `GAIN` times as fast in a trial on single windows. What
    was measured is kept, so that the same prediction is made the same way again.

    Parameters
    ----------
    size
        Rows and columns of a window.
    backend
        One of `BACKENDS`.
    windows
        How many there are to run.

    Raises
    ------
    ConfigError
        If the backend is unknown; or if it is ``onnxruntime``, and it is not installed, not for
        this device or not for this kind of model.
    CryonetError
        If it is ``onnxruntime``, and the network cannot be converted or then disagrees.
    """
    if backend not in BACKENDS:
        raise ConfigError("the backend is unknown", backend, f"Give {', '.join(BACKENDS)}.")
    own = Engine(bundle.module, {"backend": "torch"})
    if backend == "torch":
        return own
    job = _Job(bundle, size, progress)
    if backend == RUNTIME:
        _check_possible(bundle, device)
        return job.converted(job.place())
    if windows < WINDOWS or _obstacle(bundle, device):
        return own
    try:
        return job.fastest(job.place(), windows) or own
    except CryonetError as error:
        return Engine(own.module, own.attrs | {"backend_remark": f"Predicted with torch: {error}"})
    except OSError as error:
        said = f"Predicted with torch: the cache cannot be written ({error}); set {FOLDER}."
        return Engine(own.module, own.attrs | {"backend_remark": said})


def _obstacle(bundle: Bundle, device: torch.device) -> tuple[str, str, str] | None:
    """Return what keeps ONNX Runtime from being used, as an error has it."""
    if missing := missing_packages():
        rule = f"Install it: pip install {' '.join(PACKAGES)} -c constraints.txt"
        return f"{RUNTIME} is not installed", f"missing: {', '.join(missing)}", rule
    if device.type != "cpu":
        rule = "Give the device cpu, or the backend torch."
        return f"{RUNTIME} runs on the CPU only here", str(device), rule
    if not isinstance(bundle.manifest.model, ModelConfig):
        what = "the baselines that see single pixels are not converted"
        return what, bundle.manifest.model.title, "Give the backend torch."
    return None


def _check_possible(bundle: Bundle, device: torch.device) -> None:
    if obstacle := _obstacle(bundle, device):
        raise ConfigError(*obstacle)


@dataclass(frozen=True, slots=True)
class _Job:
    bundle: Bundle
    size: tuple[int, int]
    progress: Progress

    def place(self) -> Kept:
        """Return where the converted network is kept: under all that it hangs on."""
        module, manifest = self.bundle.module, self.bundle.manifest
        return Kept(
            {
                "weights": hashlib.sha256(weights_bytes(module)).hexdigest(),
                "network": hashlib.sha256(repr(module).encode()).hexdigest(),
                "model": manifest.model.model_dump_json(),
                "layers": len(manifest.layers),
                "size": list(self.size),
                "versions": {name: version(name) for name in ("torch", *PACKAGES)},
            }
        )

    def converted(self, place: Kept) -> Engine:
        """Return the network run by ONNX Runtime, from the cache or made now."""
        facts, model = place.facts(), place.model()
        check = _check_of(facts)
        if check is None or (model is None and check.good):
            return self._convert(place)
        if model is None or not check.good:
            raise _disagrees(check)
        return _engine(OnnxNetwork(model), check)

    def _convert(self, place: Kept) -> Engine:
        self.progress.step(0, 0, "converting the model for ONNX Runtime")
        network, layers = self.bundle.module.cpu().eval(), len(self.bundle.manifest.layers)
        model = to_onnx(network, layers, self.size)
        made = OnnxNetwork(model)
        self.progress.step(0, 0, "holding ONNX Runtime against torch")
        check = compare(network, made, extreme_images(layers, self.size))
        engine = _engine(made, check)
        try:
            place.keep(model if check.good else None, asdict(check))
        except OSError as error:
            said = f"The converted model could not be kept ({error}): set {FOLDER} to a folder."
            engine.attrs["backend_remark"] = said
        if not check.good:
            raise _disagrees(check)
        return engine

    def fastest(self, place: Kept, windows: int) -> Engine | None:
        """Return the network run by ONNX Runtime if that pays; see `engine_for`."""
        threads = f"{torch.get_num_threads()} threads"
        networks = {"torch": self.bundle.module.cpu().eval()}
        known = place.trial(threads)
        if "torch" not in known:
            self.progress.step(0, 0, "timing torch")
            known = self._race(networks)
            place.keep_trial(threads, known)
        if known["torch"] * windows < SECONDS:
            return None
        if RUNTIME in known and known["torch"] / known[RUNTIME] < GAIN:
            return None
        engine = self.converted(place)
        if RUNTIME not in known:
            self.progress.step(0, 0, "timing ONNX Runtime beside torch")
            known = self._race(networks | {RUNTIME: engine.module})
            place.keep_trial(threads, known)
        return engine if known["torch"] / known[RUNTIME] >= GAIN else None

    def _race(self, networks: Mapping[str, nn.Module]) -> dict[str, float]:
        """Return the seconds that each network takes for a window; they take turns."""
        image = extreme_images(len(self.bundle.manifest.layers), self.size)[:1]
        image = image.contiguous(memory_format=torch.channels_last)
        spent: dict[str, list[float]] = {name: [] for name in networks}
        with torch.inference_mode():
            for _ in range(ROUNDS + 1):
                for name, network in networks.items():
                    begin = time.perf_counter()
                    network(image)
                    spent[name].append(time.perf_counter() - begin)
        return {name: median(seconds[1:]) for name, seconds in spent.items()}


def _check_of(facts: Mapping[str, Any]) -> Check | None:
    try:
        return Check(float(facts["difference"]), float(facts["agreement"]))
    except (KeyError, TypeError, ValueError):
        return None


def _engine(module: nn.Module, check: Check) -> Engine:
    told = {"difference": float(f"{check.difference:.3g}"), "agreement": check.agreement}
    return Engine(
        module, {"backend": runtime_name(), "backend_check": told | {"tolerance": TOLERANCE}}
    )


def _disagrees(check: Check) -> CryonetError:
    return CryonetError(
        "the converted model disagrees with torch",
        f"probabilities differ by {check.difference:.2g}, {check.agreement:.3%} of classes agree",
        f"They may differ by {TOLERANCE:g}, and {AGREEMENT:.1%} must agree: predict with torch.",
    )
