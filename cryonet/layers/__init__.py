"""Feature layers: the table of them, and the stack of those a scene can give."""

from cryonet.layers.fits import Fits, fit_layers
from cryonet.layers.spec import LayerSpec
from cryonet.layers.stack import build_stack
from cryonet.layers.table import FAMILIES, LAYERS, STACKS, layers_table, select_layers
from cryonet.layers.windows import LayerWindows

__all__ = [
    "FAMILIES",
    "LAYERS",
    "STACKS",
    "Fits",
    "LayerSpec",
    "LayerWindows",
    "build_stack",
    "fit_layers",
    "layers_table",
    "select_layers",
]
