"""Uniform cubic B-splines over the damaged depth, for strain or for the static Debye-Waller factor."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from strainscope.profile.family import (
    THINNEST,
    Floats,
    ParameterSpec,
    StrainProfile,
    columns,
    piecewise_cubic,
    require,
)


@dataclass(frozen=True, kw_only=True)
class CubicBSpline(StrainProfile):
    r"""A sum of uniform cubic B-splines that joins the undamaged crystal with two continuous derivatives.

    .. math:: f(z') = \sum_{i=0}^{n+2} w_i B_3(z' n/t - i + 3), \qquad z' = t - z

    with B3 the cardinal cubic on [0, 4], t the damaged depth and z' the height above the undamaged crystal.
    w_0, w_1, w_2 are fixed at the limit (strain 0, Debye-Waller factor 1). The n free weights are numbered
    from the surface down: weight_1 is w_{n+2}, weight_n is w_3. Beyond t the profile is at its limit.

    Args:
        number: Number n of free weights.
        quantity: "strain" (limit 0) or "debye_waller" (limit 1).
        depth_range: Prior range of t [Å].
        weight_range: Prior range of the weights [1]; by default -0.03 to 0.03 for strain, 0 to 1 otherwise.

    References:
        Boulle & Debelle, J. Appl. Cryst. 43 (2010) 1046, doi:10.1107/S0021889810030281
    """

    number: int = 6
    quantity: Literal["strain", "debye_waller"] = "strain"
    depth_range: tuple[float, float] = (300.0, 8000.0)
    weight_range: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        if self.number < 1:
            raise ValueError(f"number = {self.number}; at least 1 free spline is needed.")
        if self.quantity not in ("strain", "debye_waller"):
            raise ValueError(f"quantity = {self.quantity!r}; it must be 'strain' or 'debye_waller'.")

    @property
    def limit(self) -> float:
        """0 for strain, 1 for the Debye-Waller factor."""
        return 0.0 if self.quantity == "strain" else 1.0

    @property
    def parameters(self) -> tuple[ParameterSpec, ...]:
        """depth (t), then weight_1 (surface) to weight_n (deepest)."""
        low, high = self.depth_range
        depth = ParameterSpec(
            name="depth",
            unit="Å",
            lower=low,
            upper=high,
            description="damaged depth, where the perfect crystal begins",
        )
        what = "strain" if self.quantity == "strain" else "E"
        low, high = self.weight_range or ((-0.03, 0.03) if self.quantity == "strain" else (0.0, 1.0))
        return depth, *(
            ParameterSpec(
                name=f"weight_{i}",
                unit="1",
                lower=low,
                upper=high,
                description=f"{what} about spline {i} of {self.number} from the surface down",
            )
            for i in range(1, self.number + 1)
        )

    def _check_domain(self, named: dict[str, Floats]) -> None:
        require(self.spec("depth"), named["depth"], named["depth"] > 0, "it must be > 0 Å")
        if self.quantity == "debye_waller":
            for name in self.amplitude_names:
                weight = named[name]
                require(self.spec(name), weight, (weight >= 0) & (weight <= 1), "it must lie in 0 to 1")

    @property
    def amplitude_names(self) -> tuple[str, ...]:
        """The weights."""
        return tuple(spec.name for spec in self.parameters[1:])

    def evaluate(self, depth: ArrayLike, values: ArrayLike) -> Floats:
        """Strain or Debye-Waller factor [1], shape (*, z); depth (*, z) [Å], values (*, 1 + n)."""
        cell, x = self._position(depth, values)
        return piecewise_cubic(self._cubics(values), cell, x)

    def gradient(self, depth: ArrayLike, values: ArrayLike) -> Floats:
        """Derivatives with respect to t and the weights, shape (*, z, 1 + n)."""
        z = np.asarray(depth, dtype=np.float64)
        t = np.maximum(columns(values)[0], THINNEST)
        cell, x = self._position(depth, values)
        third, second, first, _ = self._cubics(values)
        slope = piecewise_cubic(np.stack((3 * third, 2 * second, first)), cell, x)

        y = 1 - x
        four = (y**3, 4 - 6 * x**2 + 3 * x**3, 4 - 6 * y**2 + 3 * y**3, x**3)
        basis = np.zeros((*x.shape, self.number + 3))
        np.put_along_axis(basis, cell[..., None] + np.arange(4), np.stack(four, axis=-1) / 6, axis=-1)

        result = np.empty((*x.shape, 1 + self.number))
        result[..., 0] = slope * (self.number * z / t**2) * (z < t)
        result[..., 1:] = basis[..., :2:-1]
        return result

    def breakpoints(self, values: ArrayLike) -> Floats:
        """The knots below the surface [Å], shape (*, n): the third derivative jumps there."""
        knots: Floats = columns(values)[0] * (np.arange(1, self.number + 1) / self.number)
        return knots

    def extent(self, values: ArrayLike, tolerance: float | Floats) -> Floats:
        """Depth [Å], shape (*): t, less the deepest cells whose four weights are all within the tolerance."""
        values = np.asarray(values, dtype=np.float64)
        within = abs(values[..., :0:-1] - self.limit) <= np.asarray(tolerance)[..., None]
        cells = np.logical_and.accumulate(within, axis=-1).sum(axis=-1)
        result: Floats = values[..., 0] * (1 - cells / self.number)
        return result

    def maximum(self, values: ArrayLike) -> tuple[Floats, Floats]:
        """Largest abs(profile - limit) [1] and its depth [Å], exact: the extrema of every cubic; both (*)."""
        t = np.asarray(values, dtype=np.float64)[..., 0]
        cubics = self._cubics(values)
        third, second, first, _ = cubics
        root = np.sqrt(np.maximum(second**2 - 3 * third * first, 0))
        q = -(second + np.copysign(root, second))
        # A ratio above 1 lies outside the cell, so it need not be worked out; nor can it overflow then.
        one = np.divide(q, 3 * third, out=np.zeros_like(q), where=(abs(q) <= abs(3 * third)) & (third != 0))
        two = np.divide(first, q, out=np.zeros_like(q), where=(abs(first) <= abs(q)) & (q != 0))
        x = np.stack((np.zeros_like(q), np.ones_like(q), np.clip(one, 0, 1), np.clip(two, 0, 1)))
        size = abs(((cubics[0] * x + cubics[1]) * x + cubics[2]) * x + cubics[3] - self.limit)
        height = np.arange(self.number) + x
        size, height = (np.moveaxis(a, 0, -1).reshape((*t.shape, -1)) for a in (size, height))
        best = size.argmax(axis=-1)[..., None]
        size, height = (np.take_along_axis(a, best, -1)[..., 0] for a in (size, height))
        return size, t * (1 - height / self.number)

    def _position(self, depth: ArrayLike, values: ArrayLike) -> tuple[NDArray[np.intp], Floats]:
        """Cell, counted upwards from t, and the height in it in units of t/n."""
        t = np.maximum(columns(values)[0], THINNEST)
        x = t - np.asarray(depth, dtype=np.float64)
        x *= self.number / t
        np.maximum(x, 0, out=x)
        cell = x.astype(np.intp)
        np.minimum(cell, self.number - 1, out=cell)
        x -= cell
        return cell, x

    def _cubics(self, values: ArrayLike) -> Floats:
        """Each cell's polynomial in the height within it, shape (4, *, n), highest power first."""
        values = np.asarray(values, dtype=np.float64)
        fixed = np.full((*values.shape[:-1], 3), self.limit)
        w = np.concatenate((fixed, values[..., :0:-1]), axis=-1)
        a, b, c, d = (w[..., j : j + self.number] for j in range(4))
        return np.stack(((d - a + 3 * (b - c)) / 6, (a - 2 * b + c) / 2, (c - a) / 2, (a + 4 * b + c) / 6))
