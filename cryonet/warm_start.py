"""Starting from a bundle: what must match, its weights in a network, its statistics anew."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import nn

from cryonet.bundle import Bundle
from cryonet.chips import TEST
from cryonet.config import TrainConfig
from cryonet.errors import ConfigError
from cryonet.grid import geobox_of
from cryonet.layers import LAYERS, build_stack, fit_layers
from cryonet.layers.spec import LayerSpec
from cryonet.manifest import LayerEntry, StartRecord
from cryonet.model_pass import check_fits
from cryonet.models.extra_outputs import first_outputs
from cryonet.normalise import fit_statistics
from cryonet.scene_record import scene_record


def check_start(
    start: Bundle,
    config: TrainConfig,
    scenes: Sequence[xr.Dataset],
    layers: Sequence[LayerSpec],
) -> None:
    """Refuse a bundle that a run cannot start from.

    Parameters
    ----------
    scenes, layers
        Those of the run; the order of the layers may differ from the bundle's.

    Raises
    ------
    ConfigError
        If layers, model or classes are not the bundle's, or an encoder's start is asked for
        beside it.
    GridError
        If a scene's resolution does not fit the bundle's.
    """
    manifest = start.manifest
    differ = {spec.name for spec in layers} ^ set(manifest.layer_names)
    if differ:
        rule = f"Give features.stack = {list(manifest.layer_names)}."
        raise ConfigError("the layers are not those of the start", sorted(differ), rule)
    if config.model != manifest.model:
        rule = f"The bundle's is {manifest.model.model_dump(mode='json')}."
        shown = config.model.model_dump(mode="json")
        raise ConfigError("the model is not that of the start", shown, rule)
    if config.classes != manifest.classes:
        rule = f"The bundle's are {list(manifest.classes)}."
        raise ConfigError("the classes are not those of the start", list(config.classes), rule)
    if config.pretrained.source != "none":
        rule = "The bundle's weights would replace it: leave one of the two out."
        raise ConfigError("there are two starts", config.pretrained.source, rule)
    for scene in scenes:
        check_fits(manifest, geobox_of(scene))


def started(
    start: Bundle,
    config: TrainConfig,
    scenes: Sequence[xr.Dataset],
    *,
    layers: Sequence[LayerSpec],
    splits: Sequence[NDArray[np.uint8]],
) -> tuple[Bundle, list[LayerSpec]]:
    """Return a bundle as a run starts from it, and the layers in its order.

    With ``statistics = "scenes"`` the statistics are fitted anew on all pixels that are not
    test, labelled or not; see `with_statistics_of`. For errors see `check_start`.
    """
    check_start(start, config, scenes, layers)
    if config.start.statistics == "scenes":
        start = with_statistics_of(start, scenes, masks=[codes != TEST for codes in splits])
    return start, [LAYERS[name] for name in start.manifest.layer_names]


def load_start(network: nn.Module, start: Bundle) -> None:
    """Put the weights of a bundle into a network of its kind, in place.

    Outputs beyond the bundle's, which some losses train, keep the weights they have.
    """
    given, wanted = start.module.state_dict(), network.state_dict()
    with torch.no_grad():
        for name, tensor in first_outputs(wanted, given).items():
            # Slices are views of the network's own tensors.
            tensor.copy_(given[name])


def with_statistics_of(
    bundle: Bundle,
    scenes: Sequence[xr.Dataset],
    *,
    masks: Sequence[NDArray[np.bool_]] | None = None,
) -> Bundle:
    """Return `bundle` with the statistics of its layers fitted on other scenes, without labels.

    The weights are the same, and so are the principal axes: turned axes would be other
    layers to the network. The grey limits of texture are fitted anew, since they are a range
    as the statistics are. Calibration and measured scores, found under the old ones, are left
    out.

    Parameters
    ----------
    masks
        Which pixels count, ``(y, x)`` a scene; all by default.

    Raises
    ------
    LayerError
        If a scene cannot give a layer, or a layer has no valid pixel.
    """
    manifest = bundle.manifest
    specs = [LAYERS[name] for name in manifest.layer_names]
    fits = manifest.fits
    if fits.texture is not None:
        grey = fit_layers(scenes, masks=masks, names=["texture"]).texture
        fits = fits.model_copy(update={"texture": grey})
    columns: list[list[NDArray[np.float32]]] = [[] for _ in specs]
    for number, scene in enumerate(scenes):
        stack = build_stack(scene, list(manifest.layer_names), fits=fits)
        for column, spec in zip(columns, specs, strict=True):
            values = np.asarray(stack[spec.name].values)
            column.append(values[... if masks is None else masks[number]].ravel())
    statistics = fit_statistics([np.concatenate(column) for column in columns], specs)
    entries = tuple(LayerEntry.of(s, f) for s, f in zip(specs, statistics, strict=True))
    changes: dict[str, Any] = {"layers": entries, "fits": fits}
    # Found under the old statistics.
    changes |= {"calibration": None, "measured": None}
    changes["adapted_to"] = tuple(scene_record(scene) for scene in scenes)
    return Bundle(bundle.module, manifest.model_copy(update=changes))


def start_record(start: Bundle, config: TrainConfig) -> StartRecord:
    """Return what a manifest says of the bundle that a run started from."""
    training = start.manifest.training
    before = training.start.scenes if training.start else ()
    return StartRecord(
        title=start.manifest.title,
        weights_sha256=start.manifest.weights_sha256,
        statistics=config.start.statistics,
        scenes=tuple(dict.fromkeys((*before, *training.scenes))),
    )
