"""What cryonet raises: one error in three parts, and its few named children."""

from __future__ import annotations


class CryonetError(Exception):
    """Something the user can mend, said in three parts.

    Parameters
    ----------
    what
        What is wrong, without a full stop: ``"the raster has no CRS"``.
    value
        The value that was given (shown with ``repr``).
    rule
        The rule it broke, or the remedy, as a sentence.

    Examples
    --------
    >>> raise CryonetError("the overlap is out of range", 0.9, "Give a share from 0 to 0.5.")
    Traceback (most recent call last):
    ...
    cryonet.errors.CryonetError: the overlap is out of range: 0.9. Give a share from 0 to 0.5.
    """

    def __init__(self, what: str, value: object, rule: str) -> None:
        super().__init__(what, value, rule)
        self.what = what
        self.value = value
        self.rule = rule

    def __str__(self) -> str:
        shown = self.value if isinstance(self.value, str) else repr(self.value)
        return f"{self.what}: {shown}. {self.rule}"


class GridError(CryonetError):
    """A grid, window or CRS that cannot be used."""


class SceneError(CryonetError):
    """A scene, or a file offered for one, that is not what it should be."""


class LayerError(CryonetError):
    """A layer that does not exist or cannot be computed."""


class ConfigError(CryonetError):
    """A configuration that breaks a rule."""


class BundleError(CryonetError):
    """A model bundle that is damaged, or does not fit what it is asked to do."""
