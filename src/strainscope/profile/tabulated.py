"""A caller's own table of strain or static Debye-Waller factor over depth."""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import PchipInterpolator

from strainscope.profile.family import (
    Floats,
    ParameterSpec,
    StrainProfile,
    columns,
    piecewise_cubic,
    require,
)


@dataclass(frozen=True, kw_only=True)
class Tabulated(StrainProfile):
    r"""A table g of depth and value, scaled in value and in depth.

    .. math:: f(z) = f_\infty + a [g(z/s) - f_\infty]

    Between the nodes it runs straight ("linear") or as a monotone cubic ("pchip"); neither leaves the range
    of its two nodes. The table is a function, so it cannot jump: write a step as two nodes close together.
    The one exception is its end: beyond the last node the profile is at its limit (0 for strain, 1 for the
    Debye-Waller factor), with a step at s times the last depth if the last value is not the limit.

    Args:
        depth: Nodes [Å] from the surface down, strictly increasing, the first at 0.
        value: Strain or Debye-Waller factor [1] at the nodes.
        quantity: "strain" or "debye_waller".
        interpolation: "linear" or "pchip".
    """

    depth: tuple[float, ...]
    value: tuple[float, ...]
    quantity: Literal["strain", "debye_waller"] = "strain"
    interpolation: Literal["linear", "pchip"] = "pchip"

    def __post_init__(self) -> None:
        # Arrays and lists are welcome; tuples keep the settings hashable and comparable.
        for name in ("depth", "value"):
            object.__setattr__(self, name, tuple(float(x) for x in getattr(self, name)))
        depth, value = np.array(self.depth), np.array(self.value)
        if depth.size < 2 or depth.size != value.size:
            raise ValueError(
                f"{depth.size} depths, {value.size} values; both must be given at 2 or more nodes."
            )
        if not (np.isfinite(depth).all() and np.isfinite(value).all()):
            raise ValueError("depth or value holds numbers that are not finite; leave those nodes out.")
        if depth[0] != 0:
            raise ValueError(f"depth[0] = {depth[0]:g} Å; the table must begin at the surface, 0 Å.")
        if not (np.diff(depth) > 0).all():
            i = int(np.argmin(np.diff(depth) > 0)) + 1
            raise ValueError(
                f"depth[{i}] = {depth[i]:g} Å; it must be > depth[{i - 1}] = {depth[i - 1]:g} Å."
            )
        if self.quantity not in ("strain", "debye_waller"):
            raise ValueError(f"quantity = {self.quantity!r}; it must be 'strain' or 'debye_waller'.")
        if self.interpolation not in ("linear", "pchip"):
            raise ValueError(f"interpolation = {self.interpolation!r}; it must be 'linear' or 'pchip'.")

    @property
    def limit(self) -> float:
        """0 for strain, 1 for the Debye-Waller factor."""
        return 0.0 if self.quantity == "strain" else 1.0

    @property
    def parameters(self) -> tuple[ParameterSpec, ...]:
        """amplitude, stretch; both 1 for the table as it is."""
        return (
            ParameterSpec(name="amplitude", unit="1", lower=0.5, upper=2.0, description="factor on value"),
            ParameterSpec(name="stretch", unit="1", lower=0.5, upper=2.0, description="factor on depth"),
        )

    def _check_domain(self, named: dict[str, Floats]) -> None:
        require(self.spec("stretch"), named["stretch"], named["stretch"] > 0, "it must be > 0")

    @property
    def amplitude_names(self) -> tuple[str, ...]:
        """The amplitude."""
        return ("amplitude",)

    def evaluate(self, depth: ArrayLike, values: ArrayLike) -> Floats:
        """Strain or Debye-Waller factor [1], shape (*, z); depth (*, z) [Å], values (*, 2)."""
        amplitude, _ = columns(values)
        result = piecewise_cubic(self._cubics, *self._position(depth, values))
        result *= amplitude
        result += self.limit
        return result

    def gradient(self, depth: ArrayLike, values: ArrayLike) -> Floats:
        """Derivatives, shape (*, z, 2); at a kink those of the deeper side, a step at the end left out."""
        amplitude, stretch = columns(values)
        cell, x = self._position(depth, values)
        third, second, first, _ = self._cubics
        slope = piecewise_cubic(np.stack((3 * third, 2 * second, first)), cell, x)
        by_stretch = -amplitude * slope * np.asarray(depth, dtype=np.float64) / stretch**2
        return np.stack((piecewise_cubic(self._cubics, cell, x), by_stretch), axis=-1)

    def breakpoints(self, values: ArrayLike) -> Floats:
        """The nodes below the surface [Å], shape (*, b)."""
        nodes: Floats = columns(values)[1] * np.array(self.depth[1:])
        return nodes

    def extent(self, values: ArrayLike, tolerance: float | Floats) -> Floats:
        """Depth [Å], shape (*), of the node after the last one off the limit by more than tolerance."""
        amplitude, stretch = columns(values)
        off = abs(amplitude) * abs(np.array(self.value) - self.limit) > np.asarray(tolerance)[..., None]
        count = np.where(off.any(axis=-1), off.shape[-1] - off[..., ::-1].argmax(axis=-1), 0)
        nodes = np.array(self.depth)
        result: Floats = stretch[..., 0] * nodes[np.minimum(count, nodes.size - 1)]
        return result

    def maximum(self, values: ArrayLike) -> tuple[Floats, Floats]:
        """Largest abs(profile - limit) [1] and its depth [Å]: always a node, both (*)."""
        amplitude, stretch = columns(values)[..., 0]
        off = abs(np.array(self.value) - self.limit)
        node = int(off.argmax())
        return abs(amplitude) * off[node], stretch * self.depth[node]

    def maximum_gradient(self, values: ArrayLike, depth: Floats | None = None) -> Floats:
        """Derivatives of that maximum, shape (*, 2): the node moves with the stretch, its value does not."""
        amplitude = np.asarray(values, dtype=np.float64)[..., 0]
        largest = float(abs(np.array(self.value) - self.limit).max())
        return np.stack((np.sign(amplitude) * largest, np.zeros_like(amplitude)), axis=-1)

    @cached_property
    def _cubics(self) -> Floats:
        """Each cell's polynomial of g - limit in z/s - node, shape (4, cells); the last lies beyond."""
        depth, value = np.array(self.depth), np.array(self.value) - self.limit
        cubics = np.zeros((4, depth.size))
        if self.interpolation == "linear":
            cubics[2, :-1] = np.diff(value) / np.diff(depth)
            cubics[3, :-1] = value[:-1]
        else:
            cubics[:, :-1] = PchipInterpolator(depth, value).c
        return cubics

    def _position(self, depth: ArrayLike, values: ArrayLike) -> tuple[NDArray[np.intp], Floats]:
        """Cell, counted from the surface, and the position in it [Å of the table]."""
        x = np.asarray(depth, dtype=np.float64) / columns(values)[1]
        nodes = np.array(self.depth)
        # The last node itself still belongs to the table, which a step there must not cut off.
        cell = np.searchsorted(nodes[:-1], x, side="right") - 1
        cell += x > nodes[-1]
        x -= nodes[cell]
        return cell, x
