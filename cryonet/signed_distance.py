"""Signed distances to the boundaries of classes, from a map with unlabelled pixels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from cryonet.classes import NODATA


def signed_distances(labels: NDArray[np.integer], classes: int) -> NDArray[np.float32]:
    """Return how far every labelled pixel lies outside each class.

    The boundary of a class runs halfway between pixels (our choice), so a distance is that
    between the centres of a pixel and of the nearest one on the other side, less a half.
    Unlabelled pixels are on neither side. Boundaries beyond the map's edge are not known.

    Parameters
    ----------
    labels
        Class codes ``(y, x)``; 255 is unlabelled.
    classes
        How many classes there are.

    Returns
    -------
    distances
        Array ``(class, y, x)`` in pixels: negative inside the class, positive outside; 0 at
        unlabelled pixels, and everywhere for a class without a boundary, which is one that
        no labelled pixel or every labelled pixel belongs to.

    References
    ----------
    Kervadec et al. (2019), Boundary loss for highly unbalanced segmentation, MIDL,
    arXiv 1812.07032: the level set function of their equation 4.
    """
    found = np.zeros((classes, *labels.shape), np.float32)
    labelled = labels != NODATA
    for code in np.unique(labels[labelled]):
        inside = labels == code
        outside = labelled & ~inside
        if outside.any():
            found[code][outside] = distance_transform_edt(~inside)[outside] - 0.5
            found[code][inside] = 0.5 - distance_transform_edt(~outside)[inside]
    return found
