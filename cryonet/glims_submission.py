"""Submission: who made and sends a GLIMS package, and what they state of its images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cryonet.errors import CryonetError


@dataclass(frozen=True, slots=True)
class Person:
    """A name in its two parts."""

    surname: str
    given: str

    def __str__(self) -> str:
        return f"{self.surname}, {self.given}"


@dataclass(frozen=True, slots=True)
class Submission:
    """What only people can say of a package; made by `state_submission`.

    Attributes
    ----------
    analysts
        Who made the outlines, one at least.
    submitter
        Who sends them.
    organisation
        That of all of them.
    region, centre
        The ground and the number of the regional centre of GLIMS, if there is one.
    images
        Ids of the images, in place of what the scene tells.
    platform, instrument
        Theirs, in place of what the scene tells.
    geolocation
        How well the images are placed, metres, in place of `cryonet.glims_images.GEOLOCATION`.
    """

    analysts: tuple[Person, ...]
    submitter: Person
    organisation: str
    region: str = ""
    centre: int | None = None
    images: tuple[str, ...] = ()
    platform: str = ""
    instrument: str = ""
    geolocation: float | None = None


def state_submission(
    analysts: Sequence[str],
    submitter: str | None,
    organisation: str | None,
    *,
    region: str = "",
    centre: int | None = None,
    images: Sequence[str] = (),
    platform: str = "",
    instrument: str = "",
    geolocation: float | None = None,
) -> Submission:
    """Return a submission; names are written ``Surname, Given names``.

    Raises
    ------
    CryonetError
        If the analyst, the submitter or the organisation is missing, a name has another form, or
        the geolocation is no length.
    """
    sender, home = (submitter or "").strip(), (organisation or "").strip()
    given = {"analyst": bool(analysts), "submitter": bool(sender), "organisation": bool(home)}
    for what, there in given.items():
        if not there:
            rule = f"GLIMS asks for it: give --{what}."
            raise CryonetError(f"the package has no {what}", "none given", rule)
    if geolocation is not None and not (np.isfinite(geolocation) and geolocation > 0):
        rule = "Give metres above 0."
        raise CryonetError("the uncertainty of the geolocation is out of range", geolocation, rule)
    return Submission(
        tuple(map(_person, analysts)),
        _person(sender),
        home,
        region=region.strip(),
        centre=centre,
        images=tuple(image.strip() for image in images if image.strip()),
        platform=platform.strip(),
        instrument=instrument.strip(),
        geolocation=geolocation,
    )


def _person(text: str) -> Person:
    surname, comma, given = (part.strip() for part in text.partition(","))
    if not (surname and comma and given):
        raise CryonetError("the name has another form", text, "Write 'Surname, Given names'.")
    return Person(surname, given)
