"""What people and catalogues read of a bundle: the model card and its STAC MLM item."""

from __future__ import annotations

from typing import Any

from cryonet.manifest import Manifest

MLM = "https://stac-extensions.github.io/mlm/v1.4.0/schema.json"


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def model_card(manifest: Manifest) -> str:
    """Return the model card as Markdown: purpose, input, training, scores, limits."""
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

- Architecture: {manifest.model.architecture} with encoder {manifest.model.encoder},
  {manifest.parameters / 1e6:.2f} million parameters, random initial weights
- Input, {len(manifest.layers)} layers in this order: {layers}
- Windows of {manifest.tile} pixels, {manifest.overlap:.0%} overlap. The attention pools over a
  whole window, so the window size is part of the model.
- Trained on {kind}: {", ".join(scene.id for scene in training.scenes)}; seed
  {training.seed}, epoch {training.epoch} of {training.epochs} kept by the mean IoU of the
  validation blocks.{stopped}
- Probabilities are not calibrated.

## Scores

| split | measure | value |
|---|---|---|
{scores}

## Limits

The model has seen the scenes above and no others. Elsewhere, in other seasons, or with
imagery processed differently, its scores are unknown. Debris-covered ice is the hardest
class; experts themselves differ there by up to 30 % of area (Paul et al. 2013).
"""


def mlm_item(manifest: Manifest, *, name: str) -> dict[str, Any]:
    """Return a STAC Item with the machine-learning-model extension for a bundle."""
    channels = len(manifest.layers)
    size = manifest.tile
    properties: dict[str, Any] = {
        "title": manifest.title,
        "datetime": manifest.created,
        "mlm:name": manifest.title,
        "mlm:architecture": "U-Net++ with scSE",
        "mlm:tasks": ["semantic-segmentation"],
        "mlm:framework": "pytorch",
        "mlm:framework_version": manifest.training.versions.get("torch", "unknown"),
        "mlm:total_parameters": manifest.parameters,
        "mlm:pretrained": False,
        "mlm:input": [
            {
                "name": "layers",
                "bands": list(manifest.layer_names),
                "input": {
                    "shape": [-1, channels, size, size],
                    "dim_order": ["batch", "bands", "height", "width"],
                    "data_type": "float32",
                },
                "value_scaling": [
                    {"type": "z-score", "mean": e.statistics.mean, "stddev": e.statistics.std}
                    for e in manifest.layers
                ],
            }
        ],
        "mlm:output": [
            {
                "name": "logits",
                "tasks": ["semantic-segmentation"],
                "result": {
                    "shape": [-1, len(manifest.classes), size, size],
                    "dim_order": ["batch", "class", "height", "width"],
                    "data_type": "float32",
                },
                "classification:classes": [
                    {"value": code, "name": c} for code, c in enumerate(manifest.classes)
                ],
            }
        ],
    }
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": [MLM],
        "id": name,
        "geometry": None,
        "properties": properties,
        "links": [],
        "assets": {
            "weights": {
                "href": "./weights.safetensors",
                "type": "application/vnd.safetensors",
                "roles": ["mlm:model", "mlm:weights"],
            },
            "manifest": {"href": "./manifest.json", "type": "application/json"},
            "card": {"href": "./CARD.md", "type": "text/markdown"},
        },
    }
