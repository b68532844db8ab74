"""Work on a Ray cluster: units that any node can do, done again where a node died; Ray is imported when it is used."""

from strainscope.cluster.connection import connected, on_nodes
from strainscope.cluster.storage import check_shared
from strainscope.cluster.units import LOST, done_units

__all__ = ["LOST", "check_shared", "connected", "done_units", "on_nodes"]
