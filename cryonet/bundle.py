"""Bundle: a network with its manifest, in memory and as a folder. No pickles."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import safetensors
import torch
from pydantic import ValidationError
from safetensors.torch import load, save
from torch import Tensor, nn

from cryonet.atomic import check_replaceable, whole_folder
from cryonet.card import mlm_item, model_card
from cryonet.card_sections import PICTURES
from cryonet.errors import BundleError, CryonetError
from cryonet.layers import LAYERS
from cryonet.manifest import LayerEntry, Manifest
from cryonet.model_config import key_of
from cryonet.models import build_model, parameter_count

WEIGHTS, MANIFEST, CARD, ITEM = "weights.safetensors", "manifest.json", "CARD.md", "item.json"

#: A manifest is text of some kilobytes; anything far larger is not one.
_MANIFEST_LIMIT = 5_000_000

#: The header of weights takes some 120 bytes a tensor; networks have hundreds of them.
_HEADER_LIMIT = 4_000_000

#: What libraries raise for a network that cannot be, beside what `build_model` catches.
_BUILD_ERRORS = (AttributeError, IndexError, OSError, OverflowError)


@dataclass(frozen=True, slots=True)
class Bundle:
    """A trained network and all that is needed to use it."""

    module: nn.Module
    manifest: Manifest


def weights_bytes(module: nn.Module) -> bytes:
    """Return the weights of `module` in the safetensors format."""
    state = {name: value.detach().cpu().contiguous() for name, value in module.state_dict().items()}
    return save(state)


def save_bundle(bundle: Bundle, path: str | Path, *, overwrite: bool = False) -> Path:
    """Write `bundle` as a folder, whole or not at all; return the folder.

    Raises
    ------
    BundleError
        If the folder exists and is not a bundle, or may not be replaced, or the manifest
        does not describe the weights.
    """
    target = check_replaceable(path, marker=MANIFEST, overwrite=overwrite, error=BundleError)
    data = weights_bytes(bundle.module)
    _check_hash(data, bundle.manifest, target)
    with whole_folder(target, error=BundleError) as work:
        (work / WEIGHTS).write_bytes(data)
        _write_texts(work, bundle.manifest, target.name)
    return target


def renew_card(path: str | Path, manifest: Manifest, *, pictures: Mapping[str, bytes]) -> Path:
    """Give the bundle in folder `path` another manifest and card, whole or not at all.

    Everything else in it stays as it is, the weights to the byte.

    Parameters
    ----------
    manifest
        Of the same weights, with what was measured.
    pictures
        Bytes of the card's PNG files, by name; those of an earlier card go.

    Raises
    ------
    BundleError
        If there is no bundle, or it has other weights.
    """
    target = Path(path)
    if read_manifest(target).weights_sha256 != manifest.weights_sha256:
        raise BundleError("the card is of another bundle", str(target), "Measure this one.")
    with whole_folder(target, error=BundleError) as work:
        shutil.copytree(target, work, dirs_exist_ok=True)
        for name in PICTURES:
            (work / name).unlink(missing_ok=True)
        for name, data in pictures.items():
            (work / name).write_bytes(data)
        _write_texts(work, manifest, target.name, pictures)
    return target


def _write_texts(
    folder: Path, manifest: Manifest, name: str, pictures: Collection[str] = ()
) -> None:
    text = manifest.model_dump_json(indent=2)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")
    (folder / CARD).write_text(model_card(manifest, pictures=pictures), encoding="utf-8")
    item = json.dumps(mlm_item(manifest, name=name, pictures=pictures), indent=2)
    (folder / ITEM).write_text(item + "\n", encoding="utf-8")


def read_manifest(path: str | Path) -> Manifest:
    """Return the manifest of the bundle in folder `path`.

    Raises
    ------
    BundleError
        If there is none, or it has an unknown key or breaks a rule: named.
    """
    file = Path(path) / MANIFEST
    if not file.is_file():
        raise BundleError("there is no bundle", str(path), f"A bundle's folder holds {MANIFEST}.")
    if file.stat().st_size > _MANIFEST_LIMIT:
        raise BundleError("the manifest is too large", file.stat().st_size, "It is a short text.")
    try:
        return Manifest.model_validate_json(file.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        key = key_of(first["loc"]) or "manifest"
        raise BundleError(
            f"the manifest is not valid at {key}",
            repr(first.get("input"))[:120],
            f"{first['msg']}.",
        ) from error


def load_bundle(path: str | Path, *, device: str = "cpu") -> Bundle:
    """Return the bundle in folder `path`, its network on `device` and in evaluation mode.

    Raises
    ------
    BundleError
        If a file is missing or damaged, the weights are not those the manifest speaks of,
        a tensor does not fit the network, or a layer is unknown here or has other units.
    """
    manifest = read_manifest(path)
    for entry in manifest.layers:
        _check_layer(entry)
    file = Path(path) / WEIGHTS
    if not file.is_file():
        raise BundleError("the bundle has no weights", str(path), f"It holds {WEIGHTS}.")
    network = _network(manifest, device="meta")  # shapes alone, without memory
    _check_size(file, network)
    data = file.read_bytes()
    _check_hash(data, manifest, Path(path))
    try:
        state = load(data)
    except safetensors.SafetensorError as error:
        raise BundleError("the weights cannot be read", str(file), f"{error}.") from error
    _check_tensors(state, network.state_dict())
    _check_parameters(manifest, network)
    module = _network(manifest, device="cpu")
    module.load_state_dict(state)
    return Bundle(module.to(device).eval(), manifest)


def _network(manifest: Manifest, *, device: str) -> nn.Module:
    """Return the network that a manifest describes, as yet untrained."""
    config = manifest.model
    try:
        with torch.device(device):
            return build_model(config, layers=len(manifest.layers), classes=len(manifest.classes))
    except CryonetError as error:
        raise BundleError(error.what, error.value, error.rule) from error
    except _BUILD_ERRORS as error:
        rule = f"The library says: {error}."
        raise BundleError("the network cannot be built", config.title, rule) from error


def _check_size(file: Path, network: nn.Module) -> None:
    """Refuse weights that cannot be the network's by their size, before they are read."""
    most = sum(t.numel() * t.element_size() for t in network.state_dict().values())
    size = file.stat().st_size
    if size > most + _HEADER_LIMIT:
        raise BundleError(
            "the weights do not fit the network",
            f"{file.name}: {size:,} bytes",
            f"The network of the manifest takes {most:,}.",
        )
    with file.open("rb") as stream:
        start = stream.read(8)
    # A safetensors file begins with the length of its header.
    header = int.from_bytes(start, "little")
    if len(start) == 8 and header > min(size - 8, _HEADER_LIMIT):
        rule = f"They begin with a header of at most {_HEADER_LIMIT:,} bytes."
        raise BundleError("the weights cannot be read", f"{file.name}: header {header:.3g}", rule)


def _check_parameters(manifest: Manifest, network: nn.Module) -> None:
    count = parameter_count(network)
    if manifest.parameters != count:
        shown = str(manifest.parameters)
        raise BundleError(
            "the manifest gives another number of parameters",
            shown if len(shown) < 20 else f"a number of {len(shown)} digits",
            f"The network it describes has {count:,}.",
        )


def _check_hash(data: bytes, manifest: Manifest, path: Path) -> None:
    found = hashlib.sha256(data).hexdigest()
    if found != manifest.weights_sha256:
        raise BundleError(
            "the weights are not those of the manifest",
            f"{path.name}: sha256 {found[:12]}…",
            f"The manifest speaks of {manifest.weights_sha256[:12]}….",
        )


def _check_layer(entry: LayerEntry) -> None:
    spec = LAYERS.get(entry.name)
    if spec is None:
        raise BundleError(
            "the bundle needs an unknown layer", entry.name, "Update cryonet, or train anew."
        )
    for key in ("family", "units", "direction", "vector"):
        mine, theirs = getattr(spec, key), getattr(entry, key)
        if mine != theirs:
            raise BundleError(
                f"layer {entry.name} has other {key}",
                theirs,
                f"Here it is {mine!r}: use the cryonet version that made the bundle.",
            )


def _check_tensors(state: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    missing, surplus = sorted(wanted.keys() - state.keys()), sorted(state.keys() - wanted.keys())
    if missing or surplus:
        raise BundleError(
            "the weights do not fit the network",
            f"missing {missing[:3]}, unknown {surplus[:3]}",
            "The manifest's model must be the one that was trained.",
        )
    for name, tensor in wanted.items():
        if state[name].shape != tensor.shape:
            raise BundleError(
                f"tensor {name} has another shape",
                tuple(state[name].shape),
                f"The network of the manifest needs {tuple(tensor.shape)}.",
            )
