"""The rule that parts a glacier outline into clean and debris-covered ice."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from cryonet.errors import SceneError
from cryonet.scene import BANDS

_FORM = re.compile(r"\s*([a-z]+[0-9]*)\s*>=\s*(\S+)\s*")


@dataclass(frozen=True, slots=True)
class CleanIceRule:
    """Inside an outline, clean ice where `band` is at least `threshold`, debris below.

    `threshold` is a reflectance. Where the band has no value the class is unknown.
    """

    band: str
    threshold: float

    def __str__(self) -> str:
        return f"{self.band}>={self.threshold:g}"

    def in_words(self) -> str:
        """Return the rule as a sentence, for the scene's record."""
        return (
            f"inside an outline and {self.band} >= {self.threshold:g}: clean ice; inside and "
            "below: debris-covered ice; inside with no value: unlabelled; outside: other"
        )


def parse_rule(text: str) -> CleanIceRule:
    """Return the rule written as ``BAND>=VALUE``.

    Raises
    ------
    SceneError
        If `text` has another form, the band is not an optical band, or the value is no
        reflectance.

    Examples
    --------
    >>> parse_rule("red>=0.549")
    CleanIceRule(band='red', threshold=0.549)
    """
    form = "Write BAND>=VALUE, such as red>=0.549."
    found = _FORM.fullmatch(text)
    if found is None:
        raise SceneError("the clean-ice rule has another form", repr(text), form)
    band, number = found.groups()
    if band not in BANDS:
        known = ", ".join(BANDS)
        raise SceneError("the clean-ice rule names no optical band", band, f"Known are: {known}.")
    try:
        threshold = float(number)
    except ValueError as error:
        raise SceneError("the clean-ice rule has no number", number, form) from error
    if not (math.isfinite(threshold) and 0 < threshold <= 2.5):
        raise SceneError(
            "the clean-ice rule's value is no reflectance", threshold, "Give a value in (0, 2.5]."
        )
    return CleanIceRule(band, threshold)
