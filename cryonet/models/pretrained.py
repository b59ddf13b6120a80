"""Pretrained encoders: a source's weights put into a network, its first layer by name.

A pretrained encoder knows a few bands; a network here sees many layers. The layers that
carry the bands' names get the filters of these bands, whatever their place in the stack;
what the others start with is the policy `first_layer`.

An encoder was trained on bands that were centred and scaled with statistics of its own
training data. Our layers are centred and scaled with the statistics of our training
pixels, and the weights are not corrected for the difference (our choice). So the encoder
meets each band with about the mean and spread that it knows, but a given reflectance is
another number than in its own training: what it knows of patterns carries over, what it
knows of absolute brightness does not. Training goes on from there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cryonet.config import PretrainedConfig
from cryonet.errors import ConfigError
from cryonet.model_config import ModelConfig
from cryonet.models.pretrained_sources import EncoderWeights, read_weights


@dataclass(frozen=True, slots=True)
class Start:
    """What an encoder started from, for the manifest.

    Parameters
    ----------
    source, sha256
        Which weights, and the hash over their file, or over the tensors of a download.
    bands
        The layers that got the pretrained filters, in the source's order.
    first_layer
        The policy for the other layers.
    tensors, unused
        How many of the source's tensors were taken, and how many had no place.
    random
        Tensors that the source lacks, of modules that the encoder never calls.
    """

    source: str
    sha256: str
    bands: tuple[str, ...]
    first_layer: str
    tensors: int
    unused: int
    random: tuple[str, ...]


def start_encoder(
    network: nn.Module,
    config: PretrainedConfig,
    *,
    model: ModelConfig,
    layers: Sequence[str],
) -> Start | None:
    """Put pretrained weights into the encoder of `network`; return what was done.

    Parameters
    ----------
    network
        What `build_model` made of `model`. Its encoder is changed in place.
    layers
        The names of the input layers, in order.

    Returns
    -------
    start
        None, and nothing is changed, if the source is ``none``.

    Raises
    ------
    ConfigError
        If the weights cannot be had or read, do not fit the encoder, or a band of theirs is
        not among `layers`.
    """
    if config.source == "none":
        return None
    weights = read_weights(config, model)
    _check_bands(weights, layers)
    encoder = _encoder_of(network)
    state, calls = encoder.state_dict(), _calls(encoder, len(layers))
    found = _named_like(weights.tensors, state)
    random = _lacking(found, state, calls, weights.source)
    for name in found.keys() & set(calls.first):
        found[name] = first_filters(found[name], weights.bands, layers, policy=config.first_layer)
    for name, tensor in found.items():
        _check_tensor(name, tensor, state[name], weights.source)
    with torch.no_grad():
        for name, tensor in found.items():
            state[name].copy_(tensor)
    return Start(
        source=weights.source,
        sha256=weights.sha256,
        bands=weights.bands,
        first_layer=config.first_layer,
        tensors=len(found),
        unused=len(weights.tensors) - len(found),
        random=random,
    )


def first_filters(
    filters: Tensor, bands: Sequence[str], layers: Sequence[str], *, policy: str
) -> Tensor:
    """Return the first layer's filters for `layers`, of those for `bands`.

    Parameters
    ----------
    filters
        Tensor ``(filter, band, y, x)``.
    bands, layers
        Names; every band is one of the layers.
    policy
        Layers that are bands get their band's filters. The others get, with

        - ``zero-extra``: zeros. The network starts with the features of the pretrained
          encoder, whatever the other layers hold.
        - ``rgb+mean``: the mean of the filters over the bands.
        - ``cyclic``: the filters of the bands in turn; then all, the bands' too, are
          multiplied by the share of bands in layers. This is the rule of
          segmentation-models-pytorch, but for the names.

    Returns
    -------
    filters
        Tensor ``(filter, layer, y, x)``.

    Raises
    ------
    ConfigError
        If the filters are not of as many bands as there are names.
    """
    if filters.ndim != 4 or filters.shape[1] != len(bands):
        raise ConfigError(
            "the pretrained first layer has other bands",
            f"shape {tuple(filters.shape)} for {', '.join(bands)}",
            "Name the layers of its second dimension in pretrained.bands.",
        )
    out = filters.new_zeros(filters.shape[0], len(layers), *filters.shape[2:])
    extras = [index for index, name in enumerate(layers) if name not in bands]
    for index, name in enumerate(layers):
        if name in bands:
            out[:, index] = filters[:, bands.index(name)]
    if policy == "rgb+mean":
        out[:, extras] = filters.mean(dim=1, keepdim=True)
    elif policy == "cyclic":
        for turn, index in enumerate(extras):
            out[:, index] = filters[:, turn % len(bands)]
        out *= len(bands) / len(layers)
    return out


@dataclass(frozen=True, slots=True)
class _Calls:
    """Which weights see the image itself, and which modules are never called."""

    first: tuple[str, ...]
    idle: tuple[str, ...]


def _calls(encoder: nn.Module, layers: int) -> _Calls:
    """Run the encoder once on zeros and see which of its modules are called, on what."""
    image = torch.zeros(1, layers, 64, 64)
    watched = {n: m for n, m in encoder.named_modules() if isinstance(m, _WATCHED)}
    seen: dict[nn.Module, bool] = {}

    def note(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        seen[module] = seen.get(module, False) or inputs[0] is image

    hooks = [module.register_forward_pre_hook(note) for module in watched.values()]
    training = encoder.training
    with torch.no_grad():
        encoder.eval()(image)
    encoder.train(training)
    for hook in hooks:
        hook.remove()
    first = tuple(f"{n}.weight" for n, m in watched.items() if seen.get(m))
    # A norm or a grouped convolution that sees the image would mix up the layers' names.
    if {getattr(m, "groups", 0) for m, sees in seen.items() if sees} != {1}:
        raise ConfigError(
            "the encoder has no plain first convolution",
            type(encoder).__name__,
            "Pretrained filters are matched to layers there; choose another encoder.",
        )
    return _Calls(first, tuple(n for n, m in watched.items() if m not in seen))


#: Modules that are always called as such, so that one never called is never used.
_WATCHED = (nn.Conv2d, nn.BatchNorm2d)

#: What files put before an encoder's names, by who wrote them.
_PREFIXES = (
    "", "encoder.", "model.encoder.", "network.encoder.", "network.first.encoder.", "module.",
    "module.encoder.",
)  # fmt: skip


def _encoder_of(network: nn.Module) -> nn.Module:
    parts = (getattr(module, "encoder", None) for module in network.modules())
    return next(part for part in parts if isinstance(part, nn.Module))


def _check_bands(weights: EncoderWeights, layers: Sequence[str]) -> None:
    lacking = [band for band in weights.bands if band not in layers]
    if lacking:
        raise ConfigError(
            "the stack lacks bands of the pretrained encoder",
            ", ".join(lacking),
            f"{weights.source} knows {', '.join(weights.bands)}: name them in features.stack.",
        )


def _named_like(tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors under the encoder's names: the prefix that fits most of them."""
    best: dict[str, Tensor] = {}
    for prefix in _PREFIXES:
        # timm's own files lack the name that smp gives its encoders.
        for put in ("", "model."):
            named = {
                put + name.removeprefix(prefix): tensor
                for name, tensor in tensors.items()
                if name.startswith(prefix)
            }
            found = {name: named[name] for name in named.keys() & wanted.keys()}
            best = max(best, found, key=len)
    return best


def _lacking(
    found: Mapping[str, Tensor], wanted: Mapping[str, Tensor], calls: _Calls, source: str
) -> tuple[str, ...]:
    """Return the tensors that may be lacking, or refuse."""
    # How many batches a norm has seen is not used where it averages with a fixed weight.
    lacking = [
        name for name in wanted if name not in found and not name.endswith("num_batches_tracked")
    ]
    needed = [name for name in lacking if name.rpartition(".")[0] not in calls.idle]
    if needed:
        raise ConfigError(
            "the pretrained weights do not fit the encoder",
            f"{source} lacks {len(needed)} of {len(wanted)} tensors, as {needed[0]}",
            "They must be those of the encoder in model.encoder.",
        )
    return tuple(lacking)


def _check_tensor(name: str, tensor: Tensor, wanted: Tensor, source: str) -> None:
    if tensor.shape != wanted.shape:
        raise ConfigError(
            f"pretrained tensor {name} has another shape",
            f"{tuple(tensor.shape)} in {source}",
            f"The encoder needs {tuple(wanted.shape)}.",
        )
    if not torch.isfinite(tensor).all():
        raise ConfigError(f"pretrained tensor {name} is not finite", source, "Is it damaged?")
