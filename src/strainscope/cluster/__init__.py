"""Work on a Ray cluster: units that any node can do, again where a node died. Nothing of Ray is imported before it."""

from strainscope.cluster.connection import connected, on_nodes
from strainscope.cluster.units import LOST, done_units

__all__ = ["LOST", "connected", "done_units", "on_nodes"]
