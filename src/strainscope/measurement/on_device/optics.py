"""What simulated samples reflect and scatter, in torch; see `measurement.components.SampleOptics`."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse import csr_array

from strainscope.diffraction.engine import AngleTables, reflectivities
from strainscope.diffraction.sublayers import Sublayers
from strainscope.experiment import DiffuseSpread
from strainscope.experiment.diffuse_spread import MOST_PARTS, PART
from strainscope.measurement.components import SampleOptics
from strainscope.measurement.on_device.profiles import TensorProfile
from strainscope.measurement.on_device.sublayers import TensorChooser, TensorSublayers

_TYPES = {"float32": torch.float32, "float64": torch.float64, "int64": torch.int64}
# A cell's two Gauss points lie 1/√3 of its thickness apart.
_ACROSS = 3**0.5


@dataclass(frozen=True, kw_only=True, eq=False)
class TensorComponents:
    """What the samples of a batch reflect and scatter; see `measurement.components.Components`.

    Attributes:
        profile: Parameters of the profiles, shape (scan, parameter).
        reflectivity: Sigma and pi [1] at the simulated angles, float32, shape (scan, 2, node).
        disorder: Histogram of disorder over strain [Å], shape (scan, layer, bin).
        largest: Largest strain [1], shape (scan,).
    """

    profile: torch.Tensor
    reflectivity: torch.Tensor
    disorder: torch.Tensor
    largest: torch.Tensor


class TensorOptics:
    """Reflection and diffuse scattering of a sample's profiles.

    Args:
        optics: The same with the processor.
        length: Intensities are padded with zeros to so many points.
        device: Where tensors lie.

    Raises:
        ValueError: families of profiles that are not there in torch.
    """

    def __init__(self, optics: SampleOptics, *, length: int, device: torch.device) -> None:
        experiment = optics.experiment
        self._tables, self._length, self._number = optics.tables, length, optics.angles.number
        self._choose = TensorChooser(
            TensorProfile(experiment.profile, device),
            optics.tables.exact,
            experiment.stack.interfaces,
            tolerance=experiment.tolerance,
            device=device,
        )
        self._fill = _dense(optics.fill, device)
        self._polarized = [factor**2 for factor in experiment.stack.polarization_factors]
        self._diffuse = TensorDiffuse(optics.diffuse, device)

    def reflect(self, profile: torch.Tensor) -> TensorComponents:
        """What samples with these profiles reflect and scatter, values (scan, parameter)."""
        cells = self._choose(profile)
        return TensorComponents(
            profile=profile,
            reflectivity=reflectivity(self._tables, cells),
            disorder=self._diffuse.histogram(cells),
            largest=cells.largest,
        )

    def scattered(
        self, components: TensorComponents, amplitude: torch.Tensor, correlation_length: torch.Tensor
    ) -> torch.Tensor:
        """Reflected and diffuse intensity for sigma and pi on the uniform grid [1], shape (scan, 2, length).

        Args:
            components: Of the samples.
            amplitude: Of the diffuse scattering [1], shape (scan,).
            correlation_length: [Å], shape (scan,).
        """
        n = len(amplitude)
        coherent = components.reflectivity.double() @ self._fill
        diffuse = amplitude[:, None] * self._diffuse.intensity(components.disorder, correlation_length)
        both = torch.zeros(n, 2, self._length, dtype=torch.float64, device=amplitude.device)
        both[..., : self._number] = coherent
        for i, share in enumerate(self._polarized):
            both[:, i, : self._number] += share * diffuse
        return both


class TensorDiffuse:
    """Diffuse scattering on one uniform grid of angles; see `experiment.DiffuseSpread`.

    Args:
        spread: The same with the processor.
        device: Where tensors lie.
    """

    def __init__(self, spread: DiffuseSpread, device: torch.device) -> None:
        self._start, self._step, self._number = spread.start, spread.step, spread.number
        self._linear, self._response, self._length = spread.linear, spread.response, spread.length
        self._to_angles = [_dense(matrix, device) for matrix in spread.to_angles]
        self._frequency = torch.fft.rfftfreq(spread.length, spread.step, dtype=torch.float64, device=device)
        # Each cell was shared between two bins, a triangle that sinc² takes off again.
        self._gain = torch.pi / (spread.response * spread.step) / torch.sinc(self._frequency * spread.step) ** 2

    def histogram(self, cells: TensorSublayers) -> torch.Tensor:
        """Disorder over strain [Å], shape (curve, layer, bin)."""
        n, layers = len(cells.thickness), len(self._to_angles)
        delta = cells.strain if self._linear else cells.strain / (1 + cells.strain)
        place = (delta - self._start) / self._step
        squares = cells.debye_waller**2
        disorder, change = 2 - squares.sum(dim=2), squares[..., 0] - squares[..., 1]
        # Each cell's disorder is spread over the strains that it covers, as parts shared between two bins each.
        across = _ACROSS * (place[..., 1] - place[..., 0])
        parts = ((across.abs() / PART).floor() + 2).clamp(max=MOST_PARTS).long().flatten()
        cell = torch.repeat_interleave(parts)
        inside = torch.arange(len(cell), device=cell.device) - (parts.cumsum(0) - parts)[cell]
        t = (inside + 0.5) / parts[cell] - 0.5
        weight = (disorder.flatten()[cell] + 2 * _ACROSS * t * change.flatten()[cell]).clamp(min=0)
        weight = weight * (0.5 * cells.thickness.flatten() / parts)[cell]
        where = (place.mean(dim=2).flatten()[cell] + t * across.flatten()[cell]).clamp(0.0, self._number - 1.001)
        below = where.floor()
        share = where - below
        row = torch.arange(n, device=cell.device)[:, None] * layers + cells.layer
        index = row.flatten()[cell] * self._number + below.long()
        result = torch.zeros(n * layers * self._number, dtype=place.dtype, device=place.device)
        result.scatter_add_(0, index, (1 - share) * weight)
        result.scatter_add_(0, index + 1, share * weight)
        return result.reshape(n, layers, self._number)

    def intensity(self, histogram: torch.Tensor, correlation_length: torch.Tensor) -> torch.Tensor:
        """Diffuse intensity for unit amplitude [1] and sigma, shape (curve, angle)."""
        width = torch.pi**1.5 / (correlation_length[:, None] * self._response)
        transform = self._gain * torch.exp(-((width * self._frequency) ** 2))
        spectrum = torch.fft.rfft(histogram, self._length) * transform[:, None]
        spread = torch.fft.irfft(spectrum, self._length)[..., : self._number]
        total = torch.stack([spread[:, layer] @ matrix for layer, matrix in enumerate(self._to_angles)])
        # The transform rounds to 1e-16 of the largest value, to either side of zero.
        return total.sum(dim=0).clamp(min=0.0)


def reflectivity(tables: AngleTables, cells: TensorSublayers) -> torch.Tensor:
    """The fast engine's reflectivities (curve, 2, node) in float32, on the device where the sublayers lie."""
    sent = {name: getattr(cells, name) for name in ("thickness", "strain", "debye_waller", "layer")}
    if sent["thickness"].is_cuda:
        return reflect_on_gpu(tables, sent)
    arrays = {name: own.numpy() for name, own in sent.items()}
    return torch.from_numpy(reflectivities(tables, Sublayers(upper=np.zeros_like(arrays["thickness"]), **arrays)))


def reflect_on_gpu(tables: AngleTables, sent: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """Reflectivities (curve, 2, node) that the GPU's engine leaves in its memory.

    Args:
        tables: Of the stack at its angles.
        sent: The sublayers, see `Sublayers`; where numba's simulator stands for the GPU, in the processor's memory.
    """
    from strainscope.diffraction import cuda_engine

    device = sent["thickness"].device
    n_curve, n_cell = sent["thickness"].shape
    _, kept, returned = cuda_engine.shapes(tables, n_cell, 0)
    # What the kernels keep in between is torch's, too: it is not given away before they are done.
    filled = {
        name: torch.empty((n_curve, *shape), dtype=_TYPES[np.dtype(dtype).name], device=device)
        for name, (shape, dtype) in (kept | returned).items()
    }
    arrays = {name: own.contiguous() for name, own in sent.items()} | filled
    if device.type == "cuda":
        with torch.cuda.device(device):
            cuda_engine.reflect_in_place(tables, arrays, torch.cuda.current_stream().cuda_stream)
    else:
        cuda_engine.reflect_in_place(tables, {name: own.numpy() for name, own in arrays.items()}, 0)
    return filled["reflectivity"]


def _dense(matrix: csr_array, device: torch.device) -> torch.Tensor:
    """Its transpose: to be multiplied by rows."""
    return torch.as_tensor(matrix.T.toarray(), dtype=torch.float64, device=device)
