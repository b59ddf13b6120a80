"""Feature layers: the table of them, and the stack of those a scene can give."""

from cryonet.layers.spec import LayerSpec
from cryonet.layers.stack import build_stack
from cryonet.layers.table import LAYERS, STACKS, layers_table, select_layers

__all__ = ["LAYERS", "STACKS", "LayerSpec", "build_stack", "layers_table", "select_layers"]
