"""How a measured point and the model are compared: counting noise plus a floor for what the model lacks."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from strainscope.scan import Scan, estimate_counts_per_unit

Floats = NDArray[np.float64]

# A model of fewer counts than this at a point is taken as it: what is measured there rules it out in any case.
_LEAST_EXPECTED = 1e-3


@dataclass(frozen=True, kw_only=True, eq=False)
class Likelihood:
    r"""Residuals of unit variance for Poisson counts N with a relative model error f.

    .. math:: r = g(N_{measured}) - g(N_{model}), \qquad
              g(N) = \frac{2}{f} \operatorname{arsinh}\!\left(f \sqrt{N + 3/8}\right), \qquad
              g'(N) \approx (N + f^2 N^2)^{-1/2}

    Few counts are compared as square roots (Anscombe), many as logarithms over f; zeros need no exception. Without a
    model error residuals are the signed roots of Poisson's deviance, half the sum of whose squares is minus the
    log-likelihood up to a constant:

    .. math:: r^2 = 2 N \ln\frac{N}{μ} - 2 (N - μ), \qquad \mathrm{sign}\, r = \mathrm{sign}(N - μ)

    A point with a standard deviation σ of its own counts as N = I²/σ² counts.

    Attributes:
        intensity: Measured, shape (point,).
        sigma: Standard deviations or None.
        counts_per_unit: Counts for one unit of intensity.
        model_error: f, relative error [1] that the model is granted everywhere; 0 for none.
        description: How the counts are known, in words.

    References:
        Anscombe, Biometrika 35 (1948) 246, doi:10.1093/biomet/35.3-4.246; McCullagh & Nelder, Generalized Linear
        Models (1989), on the deviance
    """

    intensity: Floats
    sigma: Floats | None
    counts_per_unit: float
    model_error: float
    description: str

    @cached_property
    def _counts(self) -> Floats:
        """Counts for one unit of intensity at each point: those that give the point its sigma, where it has one."""
        if self.sigma is None:
            return np.full(self.intensity.shape, self.counts_per_unit)
        seen = np.where(self.intensity > 0, self.intensity, self.counts_per_unit * self.sigma**2)
        return np.asarray(seen / self.sigma**2)

    @property
    def most_counts(self) -> float:
        """Counts at the highest point."""
        return float((self.intensity * self._counts).max())

    def counts(self, intensity: Floats) -> Floats:
        """Counts (*, point) that stand for intensities (*, point)."""
        return np.asarray(intensity * self._counts)

    @cached_property
    def _measured(self) -> Floats:
        return self._transform(self.intensity * self._counts)[0]

    def _transform(self, counts: Floats) -> tuple[Floats, Floats]:
        """g(N) and its derivative."""
        f = self.model_error
        root = np.sqrt(np.maximum(counts, 0.0) + 0.375)
        size = f * root
        hypotenuse = np.sqrt(1 + size**2)
        # The logarithm is several times faster than arsinh, and as good: sizes are positive.
        return 2 / f * np.log(size + hypotenuse), 1 / (root * hypotenuse)

    def residuals(self, model: Floats) -> tuple[Floats, Floats]:
        """Residuals (*, point) of model intensities (*, point), and their derivatives in them."""
        if not self.model_error:
            return self._deviances(model)
        value, slope = self._transform(model * self._counts)
        return self._measured - value, -slope * self._counts

    def _deviances(self, model: Floats) -> tuple[Floats, Floats]:
        """Signed roots of Poisson's deviance, and their derivatives."""
        counts = self.intensity * self._counts
        expected = np.maximum(model * self._counts, _LEAST_EXPECTED)
        excess = counts - expected
        deviance = 2 * (counts * np.log1p(np.maximum(excess / expected, -1 + 1e-15)) - excess)
        linear = np.abs(excess) / np.sqrt(expected)
        # Where both agree the difference has no digits left.
        near = np.abs(excess) < 1e-8 * expected
        size = np.where(near, linear, np.sqrt(np.maximum(deviance, 0.0)))
        slope = np.where(near, 1 / np.sqrt(expected), np.abs(excess) / (np.where(near, 1.0, size) * expected))
        return np.copysign(size, excess), -slope * self._counts


def likelihood_of(scan: Scan, model_error: float) -> Likelihood:
    """The likelihood that a scan allows: its own sigma, its counts, or counts estimated from its scatter."""
    floor = f", a model error of {100 * model_error:g} %, and residuals beyond 2 sd counted by their size (soft-l1)"
    if not model_error:
        floor = ", no model error"
    found = counts_per_unit(scan)
    # A curve without scatter (simulated or smoothed): only the floor tells how far to trust a point.
    per_unit = 1e9 / float(scan.intensity.max()) if found is None else found
    if scan.sigma is not None:
        words = f"the standard deviations of the file{floor}"
    elif scan.intensity_kind == "counts":
        words = f"counting statistics of the raw counts{floor}"
    elif found is not None:
        words = (
            f"counting statistics, with {per_unit:.3g} counts for one unit of intensity estimated from the "
            f"scatter of neighbouring points{floor}"
        )
    else:
        words = f"no counting noise is seen in the scatter; 1e9 counts at the peak are assumed{floor}"
    return Likelihood(
        intensity=scan.intensity,
        sigma=scan.sigma,
        counts_per_unit=per_unit,
        model_error=model_error,
        description=words,
    )


def counts_per_unit(scan: Scan) -> float | None:
    """Counts for one unit of a scan's intensity: from its sigma, its counts or its scatter; None if unseen."""
    if scan.sigma is not None:
        seen = scan.intensity > 0
        return float(np.median(scan.intensity[seen] / scan.sigma[seen] ** 2))
    if scan.intensity_kind == "counts":
        return 1.0
    try:
        return estimate_counts_per_unit(scan)
    except ValueError:
        return None


def rms_log10(measured: Floats, model: Floats) -> float:
    """rms of log10(model/measured) over points with measured > 0."""
    seen = measured > 0
    return float(np.sqrt(np.mean(np.log10(np.maximum(model[seen], 1e-300) / measured[seen]) ** 2)))
