"""Question: which number of a model is to be explained, on which pixels of a window."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cryonet.grid import Window


@dataclass(frozen=True, slots=True)
class Question:
    """Why this class at these pixels, and rather than what.

    The number that is explained, the *evidence*, is the mean over the pixels of the log-odds of
    the class: ln p / (1 - p) of its uncalibrated probability; with `against`, ln p / q, the
    logit of the one class less that of the other. Of correct against wrong pixels it is the
    difference of the two means. Our choice: probabilities saturate, log-odds add.

    Attributes
    ----------
    window
        The part of the scene that the network sees.
    weights
        ``(y, x)`` float64 in that window: 1/n at each of n pixels, -1/m at pixels that they are
        held against, else 0.
    target
        The class, by name.
    against
        The class that it is weighed against; empty for all others together.
    label
        What was asked, in words: ``"debris at row 40, column 17"``.
    """

    window: Window
    weights: NDArray[np.float64]
    target: str
    against: str = ""
    label: str = ""
