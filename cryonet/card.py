"""What people and catalogues read of a bundle: the model card and its STAC MLM item."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from copy import deepcopy
from typing import Any

from pystac.utils import datetime_to_str

from cryonet.card_sections import PICTURES, limits, measured_sections
from cryonet.card_sections import figure as _figure
from cryonet.errors import BundleError
from cryonet.layers import LAYERS
from cryonet.manifest import LayerEntry, Manifest
from cryonet.model_config import ModelConfig
from cryonet.stac import class_fields, declared, moment, optical_fields

#: Versions as the extension wants them (semver.org); others, as 2.6 or 2.9.0a0, are left out.
_SEMANTIC = re.compile(r"\d+\.\d+\.\d+([-+][0-9A-Za-z.-]+)?")

#: Architectures as the literature calls them.
_ARCHITECTURES = {
    "cryonet": "U-Net++ with scSE",
    "unet": "U-Net",
    "deeplabv3plus": "DeepLabV3+",
    "segformer": "SegFormer",
    "forest": "Random forest of single pixels",
    "threshold": "Thresholds of single pixels",
}


def _initial(manifest: Manifest) -> str:
    origin = manifest.training.start
    if origin is not None:
        scenes = ", ".join(scene.id for scene in origin.scenes)
        return (
            f"started from the bundle\n  {origin.title} (weights {origin.weights_sha256[:12]}…), "
            f"trained on {scenes};\n  layers normalised with the statistics of "
            f"{'that bundle' if origin.statistics == 'bundle' else 'the scenes below'}"
        )
    start = manifest.training.pretrained
    if start is None:
        return "random initial weights"
    return (
        f"encoder started from {start.source} on\n  {', '.join(start.bands)} "
        f"(other layers: {start.first_layer})"
    )


def _architecture(manifest: Manifest) -> str:
    title = manifest.model.title
    if not isinstance(manifest.model, ModelConfig):
        return f"- Architecture: {title}, a baseline that sees each pixel alone"
    millions = f"{manifest.parameters / 1e6:.2f} million parameters"
    return f"- Architecture: {title},\n  {millions}, {_initial(manifest)}"


def _windows(manifest: Manifest) -> str:
    windows = f"- Windows of {manifest.tile} pixels, {manifest.overlap:.0%} overlap."
    if not isinstance(manifest.model, ModelConfig):
        return windows
    return (
        f"{windows} What is said of a pixel\n"
        "  hangs on the whole window, so the window size is part of the model."
    )


def _epoch(manifest: Manifest) -> str:
    """Return which epoch was kept, of a model that has epochs."""
    training = manifest.training
    if not isinstance(manifest.model, ModelConfig):
        return ""
    return (
        f", epoch {training.epoch} of {training.epochs} kept by the mean IoU of the\n"
        "  validation blocks"
    )


def _calibration(manifest: Manifest) -> str:
    """Return what the card says of the probabilities."""
    found = manifest.calibration
    if found is None:
        return "- Probabilities are not calibrated."
    return (
        f"- Probabilities are brought to the temperature {found.temperature:.3f}, fitted on "
        f"{found.pixels:,} {found.split} pixels.\n  There it took the expected calibration error "
        f"from {found.ece_before:.3f} to {found.ece_after:.3f} ({found.bins} bins); elsewhere it "
        "may differ."
    )


def _unseen(manifest: Manifest) -> str:
    """Return what the card says of classes that no validation pixel shows."""
    found = manifest.training.metrics.get("validation", {})
    names = [name for name in manifest.classes if found.get(f"iou_{name}", 0) is None]
    return (
        f"\n- Nothing was chosen by the sight of {', '.join(names)}: no validation pixel shows it."
        * (bool(names))
    )


def _adapted(manifest: Manifest) -> str:
    """Return what the card says of statistics that were fitted anew."""
    scenes = ", ".join(scene.id for scene in manifest.adapted_to)
    return f"\n- The statistics of its layers were fitted anew, without labels, to {scenes}." * (
        bool(scenes)
    )


def _optional(manifest: Manifest) -> str:
    """Return what the card says of families the model can do without."""
    groups = [" with ".join(group) for group in manifest.optional_families]
    if not groups:
        return "- A scene must give every layer."
    return (
        f"- It does without {', or '.join(groups)}: where missing, the training mean stands in,\n"
        "  as it did in some of the training chips."
    )


def model_card(manifest: Manifest, *, pictures: Collection[str] = ()) -> str:
    """Return the model card as Markdown: purpose, input, training, scores, failures, limits.

    Parameters
    ----------
    pictures
        Names of the picture files beside it; see `cryonet.card_sections.PICTURES`.
    """
    training = manifest.training
    kind = "synthetic scenes (generated, not measured)" if manifest.synthetic else "real scenes"
    scores = "\n".join(
        f"| {split} | {name} | {_figure(value)} |"
        for split, values in training.metrics.items()
        for name, value in values.items()
    )
    layers = ", ".join(f"`{name}`" for name in manifest.layer_names)
    stopped = " Training was interrupted; these are the best weights until then." * (
        training.interrupted
    )
    return f"""# {manifest.title}

Maps {", ".join(manifest.classes)} at {manifest.resolution:g} m.

{_architecture(manifest)}
- Input, {len(manifest.layers)} layers in this order: {layers}
{_windows(manifest)}
- Trained on {kind}: {", ".join(scene.id for scene in training.scenes)}; seed
  {training.seed}{_epoch(manifest)}.{stopped}{_adapted(manifest)}
{_calibration(manifest)}{_unseen(manifest)}
{_optional(manifest)}

## Scores in training

| split | measure | value |
|---|---|---|
{scores}

{measured_sections(manifest, pictures=pictures)}

{limits(manifest)}
"""


def mlm_item(manifest: Manifest, *, name: str, pictures: Collection[str] = ()) -> dict[str, Any]:
    """Return a STAC Item with the machine-learning-model extension for a bundle.

    The extension has no field for scores: what was measured stands in ``cryonet:measured``.

    Raises
    ------
    BundleError
        If the manifest's ``created`` is not a time.
    """
    created = moment(manifest.created, what="the manifest's created", error=BundleError)
    version = manifest.training.versions.get("torch", "")
    start, architecture = manifest.training.pretrained, manifest.model.architecture
    origin = manifest.training.start
    properties: dict[str, Any] = {
        "title": manifest.title,
        "datetime": datetime_to_str(created),
        "bands": [_band(entry) for entry in manifest.layers],
        "mlm:name": _model_name(manifest.title),
        "mlm:architecture": _ARCHITECTURES.get(architecture, architecture),
        "mlm:tasks": ["semantic-segmentation"],
        "mlm:framework": "PyTorch",
        "mlm:total_parameters": manifest.parameters,
        "mlm:pretrained": start is not None or origin is not None,
        "mlm:pretrained_source": origin.title if origin else start.source if start else None,
        "mlm:hyperparameters": {
            **manifest.model_dump(include={"tile", "overlap", "resolution"}),
            **_training(manifest),
        },
        "mlm:input": [_input(manifest)],
        "mlm:output": [_output(manifest)],
    }
    if _SEMANTIC.fullmatch(version):
        properties["mlm:framework_version"] = version
    if manifest.measured is not None:
        properties["cryonet:measured"] = manifest.measured.model_dump(mode="json")
    item: dict[str, Any] = {
        "type": "Feature",
        "stac_version": "1.1.0",
        "id": name,
        "geometry": None,
        "properties": properties,
        "links": [],
        "assets": deepcopy(_ASSETS) | _picture_assets(pictures),
    }
    # The core allows bands among the properties only if an asset has some too.
    item["assets"]["weights"]["bands"] = [{"name": layer} for layer in manifest.layer_names]
    return {**item, "stac_extensions": declared(item)}


def _training(manifest: Manifest) -> dict[str, Any]:
    """Return the hyperparameters of the training: of a baseline, all that its model has."""
    if isinstance(manifest.model, ModelConfig):
        return manifest.training.model_dump(include={"seed", "epochs"})
    return {"seed": manifest.training.seed, **manifest.model.model_dump(exclude={"architecture"})}


_ASSETS: dict[str, dict[str, Any]] = {
    "weights": {
        "href": "./weights.safetensors",
        "type": "application/vnd.safetensors",
        "roles": ["mlm:model", "mlm:weights"],
        "mlm:artifact_type": "safetensors.torch.save",
    },
    "manifest": {"href": "./manifest.json", "type": "application/json", "roles": ["metadata"]},
    "card": {"href": "./CARD.md", "type": "text/markdown", "roles": ["metadata"]},
}


def _picture_assets(pictures: Collection[str]) -> dict[str, dict[str, Any]]:
    return {
        name.removesuffix(".png"): {
            "href": f"./{name}",
            "type": "image/png",
            "title": title,
            "roles": ["overview"],
        }
        for name, title in PICTURES.items()
        if name in pictures
    }


def _model_name(title: str) -> str:
    """Return `title` in the letters that a name may have: ASCII ones, digits, ``_``, ``.``, ``-``.

    It begins with a letter and ends with a letter or digit.
    """
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode()
    words = re.sub(r"[^A-Za-z0-9_.-]+", " ", plain).strip(" _.-")
    return words if re.match(r"[A-Za-z].+", words[:-1]) else f"model {words}".strip()


def _band(entry: LayerEntry) -> dict[str, Any]:
    known = LAYERS.get(entry.name)
    about = {"description": known.long_name} if known else {}
    return {"name": entry.name, **about, "unit": entry.units, **optical_fields(entry.name)}


def _scaling(entry: LayerEntry) -> dict[str, Any]:
    """Return what `cryonet.normalise.normalise` does to known values of a layer, called A.

    A z-score alone would leave out the clipping that comes before it.
    """
    stats = entry.statistics
    clipped = f"clip(A, {stats.low!r}, {stats.high!r})"
    expression = f"({clipped} - {stats.mean!r}) / {stats.std!r}"
    return {"type": "processing", "format": "gdal-calc", "expression": expression}


def _input(manifest: Manifest) -> dict[str, Any]:
    size = manifest.tile
    return {
        "name": "layers",
        "description": (
            f"Layers in their units at {manifest.resolution:g} m, clipped and standardised; a "
            "missing value becomes the fill of its layer, which the manifest holds."
        ),
        "bands": list(manifest.layer_names),
        "input": {
            "shape": [-1, len(manifest.layers), size, size],
            "dim_order": ["batch", "bands", "height", "width"],
            "data_type": "float32",
        },
        "value_scaling": [_scaling(entry) for entry in manifest.layers],
    }


def _output(manifest: Manifest) -> dict[str, Any]:
    size = manifest.tile
    return {
        "name": "logits",
        "description": "Logits; their softmax over the classes is the probability of each.",
        "tasks": ["semantic-segmentation"],
        "result": {
            "shape": [-1, len(manifest.classes), size, size],
            "dim_order": ["batch", "class", "height", "width"],
            "data_type": "float32",
        },
        **class_fields(len(manifest.classes)),
    }
