"""Where pretrained encoders come from: a file, an installed package, a download."""

from __future__ import annotations

import hashlib
import importlib
import importlib.metadata
import importlib.util
import json
import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import load_file, save
from torch import Tensor

from cryonet.config import PretrainedConfig
from cryonet.errors import ConfigError
from cryonet.file_hash import file_sha256
from cryonet.model_config import ModelConfig
from cryonet.models.torchvision_schemas import import_smp

RGB = ("red", "green", "blue")

#: What torch raises for a file that is not its own, or holds more than tensors.
_READ_ERRORS = (
    OSError, EOFError, RuntimeError, ValueError, KeyError, TypeError, AttributeError,
    IndexError, pickle.UnpicklingError,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class EncoderWeights:
    """An encoder's weights as a source has them.

    Parameters
    ----------
    source
        Which they are, without any folder.
    sha256
        Hash of their file, or of the tensors of a download.
    bands
        What the first layer's filters stand for, in order.
    tensors
        The tensors under the source's names, float or integer.
    """

    source: str
    sha256: str
    bands: tuple[str, ...]
    tensors: dict[str, Tensor]


def read_weights(config: PretrainedConfig, model: ModelConfig) -> EncoderWeights:
    """Return the weights that `config` speaks of. Only the source ``download`` downloads.

    Raises
    ------
    ConfigError
        If they cannot be found, read or fetched, or are of another encoder.
    """
    return SOURCES.get(config.source, _from_file)(config, model)


def _from_file(config: PretrainedConfig, model: ModelConfig) -> EncoderWeights:
    """Read a safetensors file, or torch's own without running any code in it."""
    path = Path(config.source)
    if not path.is_file():
        raise ConfigError("the pretrained weights do not exist", str(path), "Give a file.")
    try:
        if path.suffix == ".safetensors":
            raw: Any = load_file(path)
        else:
            raw = torch.load(path, map_location="cpu", weights_only=True)
    except (*_READ_ERRORS, safetensors.SafetensorError) as error:
        rule = f"A file of tensors alone is wanted: {str(error).splitlines()[0]}"
        raise ConfigError("the pretrained weights cannot be read", path.name, rule) from error
    if isinstance(raw, Mapping) and isinstance(raw.get("state_dict"), Mapping):
        raw = raw["state_dict"]
    if not isinstance(raw, Mapping) or not all(isinstance(v, Tensor) for v in raw.values()):
        rule = "A mapping from names to tensors is wanted."
        raise ConfigError("the pretrained weights are no tensors", path.name, rule)
    return EncoderWeights(path.name, file_sha256(path), config.bands or RGB, dict(raw))


def _from_csmask(config: PretrainedConfig, model: ModelConfig) -> EncoderWeights:
    """Read a network of the package ukis-csmask, which masks clouds in reflectance.

    Its four networks are U-Nets of segmentation-models-pytorch, exported to ONNX in half
    precision, trained on Sentinel-2 and Landsat at about 30 m (Wieland et al. 2019, 2022).
    """
    variant = config.variant or "6b_l2a"
    if variant not in CSMASK:
        known = ", ".join(CSMASK)
        raise ConfigError("ukis-csmask has no such network", variant, f"It has {known}.")
    if model.encoder != "efficientnet-b4":
        rule = "Its encoder is efficientnet-b4: set model.encoder."
        raise ConfigError("ukis-csmask has another encoder", model.encoder, rule)
    folder, onnx = _csmask_folder(), _optional("onnx")
    file = folder / f"model_{variant}.onnx"
    if not file.is_file():
        rule = f"Version {_version()} of ukis-csmask lacks it; 1.0.0 has it."
        raise ConfigError("the pretrained weights do not exist", file.name, rule)
    described = json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))
    bands = tuple(str(b) for b in described["data"]["dataset_statistics"]["band_names"])
    graph = onnx.load(file, load_external_data=False).graph
    tensors = {
        item.name: torch.from_numpy(onnx.numpy_helper.to_array(item).astype("float32"))
        for item in graph.initializer
    }
    source = f"ukis-csmask {_version()}, {file.name}"
    return EncoderWeights(source, file_sha256(file), bands, tensors)


#: The networks of ukis-csmask: 4 or 6 bands, without or with atmospheric correction.
CSMASK = ("6b_l2a", "6b_l1c", "4b_l2a", "4b_l1c")


def _csmask_folder() -> Path:
    # The package is found, not imported: it would want an ONNX runtime.
    spec = importlib.util.find_spec("ukis_csmask")
    if spec is None or spec.origin is None:
        raise _missing("ukis-csmask")
    return Path(spec.origin).parent


def _version() -> str:
    return importlib.metadata.version("ukis-csmask")


def _optional(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise _missing(name) from error


def _missing(package: str) -> ConfigError:
    return ConfigError(
        f"the package {package} is not installed",
        "pretrained.source = 'ukis-csmask'",
        'Install the optional packages: pip install "cryonet[csmask]".',
    )


def _from_download(config: PretrainedConfig, model: ModelConfig) -> EncoderWeights:
    """Fetch what segmentation-models-pytorch or timm offer for an encoder, for RGB."""
    timm = model.encoder.startswith("tu-")
    if timm and config.variant:
        rule = "timm's encoders have it in their names, as in tu-resnet18.a1_in1k."
        raise ConfigError("the variant has no place", config.variant, rule)
    variant = config.variant or "imagenet"
    source = f"download of {model.encoder}" + ("" if timm else f", {variant}")
    try:
        encoder = import_smp().encoders.get_encoder(
            model.encoder, in_channels=len(RGB), weights=True if timm else variant
        )
    except Exception as error:  # the hub's clients raise errors of many libraries
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError("the pretrained weights cannot be fetched", source, reason) from error
    tensors = {name: tensor.contiguous() for name, tensor in encoder.state_dict().items()}
    return EncoderWeights(source, hashlib.sha256(save(tensors)).hexdigest(), RGB, tensors)


#: The sources that have a name; any other name is a file's.
SOURCES: Mapping[str, Callable[[PretrainedConfig, ModelConfig], EncoderWeights]] = {
    "ukis-csmask": _from_csmask,
    "download": _from_download,
}
