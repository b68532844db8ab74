"""Scans as laboratories measure them, simulated where a network is trained: everything stays in the device's memory.

The same scans as `LabSimulator`'s, in torch, whose tensors lie on a GPU or, for a check, with the processor.
Diffraction is the fast engine's on that device.
"""

from strainscope.measurement.on_device.coordinates import UnitCoordinates
from strainscope.measurement.on_device.optics import reflectivity
from strainscope.measurement.on_device.profiles import TensorProfile
from strainscope.measurement.on_device.simulator import DeviceSimulator
from strainscope.measurement.on_device.sublayers import TensorChooser

__all__ = ["DeviceSimulator", "TensorChooser", "TensorProfile", "UnitCoordinates", "reflectivity"]
