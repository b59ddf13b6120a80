"""What a prediction should say aloud of how it was made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def prediction_remarks(attrs: Mapping[Any, Any]) -> list[str]:
    """Return what was out of the ordinary in a prediction, a sentence each; empty if nothing.

    Parameters
    ----------
    attrs
        As `cryonet.predict.predict_scene` sets them, ``missing_families``, ``filled_pixels`` and
        ``batch_held`` and ``backend_remark`` among them; or with such attributes for each of its
        ``members``.
    """
    said = []
    for member in attrs.get("members", [attrs]):
        missing = list(member.get("missing_families", ()))
        if missing:
            said.append(f"The scene lacks {', '.join(missing)}: the training mean stands in.")
        for group, pixels in member.get("filled_pixels", {}).items():
            if pixels and group.split(", ")[0] not in missing:
                said.append(
                    f"{group}: missing at {pixels:,} pixels, where the training mean stands in."
                )
        if remark := member.get("backend_remark"):
            said.append(remark)
        if held := member.get("batch_held"):
            said.append(f"Memory held {held} windows at once, fewer than were asked for.")
    return list(dict.fromkeys([*said, *hand_remarks(attrs)]))


def hand_remarks(attrs: Mapping[Any, Any]) -> list[str]:
    """Return how much of a prediction was set by hand, and what its areas make of it."""
    hand = attrs.get("corrections")
    if not hand:
        return []
    return [
        f"{hand['pixels']:,} pixels ({hand['km2']:.3f} km²) were set by hand in "
        f"{hand['polygons']} polygons; ± from probabilities takes them as certain."
    ]
