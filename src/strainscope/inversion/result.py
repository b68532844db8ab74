"""What an inversion returns: every distinct profile that explains the scan, and how far to trust it."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from strainscope.inversion.derived import DerivedQuantity
from strainscope.profile import IonProfile
from strainscope.scan import Scan

Floats = NDArray[np.float64]
VERDICTS = ("reliable", "check", "do not use")
# Of the document that a result is written as.
SCHEMA_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class FittedParameter:
    """One parameter of a fit.

    Attributes:
        name: As in the sample file.
        unit: "1", "Å", "arcsec" or "deg".
        value: Best value: the maximum of the posterior in unit coordinates.
        sd: Standard deviation of the mode's posterior; None where the parameter is held, like those that follow.
        mean, median: Of it.
        interval_90: Its 5 and 95 % quantiles.
        lower, upper: Bounds of the search.
        determined: False where the curve says little about it (in coordinates in which the prior is normal, more than
            half of its variance is left).
        bound: On which the fit ended, or next to which much of the posterior lies, "lower" or "upper"; "constraint"
            where others set it, empty where there is none.
        description: What it means, in words.
    """

    name: str
    unit: str
    value: float
    sd: float | None
    lower: float
    upper: float
    mean: float | None = None
    median: float | None = None
    interval_90: tuple[float, float] | None = None
    determined: bool = True
    bound: str = ""
    description: str = ""

    @property
    def outside(self) -> bool:
        """Whether the best value lies outside of the interval, on no bound."""
        return self._beyond(0.0)

    @property
    def aside(self) -> bool:
        """Whether it does by more than a quarter of the interval's width."""
        return self._beyond(0.25)

    def _beyond(self, share: float) -> bool:
        if self.interval_90 is None or self.at_bound:
            return False
        low, high = self.interval_90
        room = share * (high - low)
        return not low - room <= self.value <= high + room

    @property
    def at_bound(self) -> bool:
        """Whether it is on any bound."""
        return bool(self.bound)


@dataclass(frozen=True, kw_only=True, eq=False)
class DepthBands:
    """A profile with its bands over depth.

    Attributes:
        depth: From the surface down [Å], shape (depth,).
        strain: Best Δd/d [1].
        strain_68, strain_95: Lower and upper limits, shape (2, depth).
        debye_waller: Best static Debye-Waller factor E [1].
        debye_waller_68, debye_waller_95: Lower and upper limits, shape (2, depth).
    """

    depth: Floats
    strain: Floats
    strain_68: Floats
    strain_95: Floats
    debye_waller: Floats
    debye_waller_68: Floats
    debye_waller_95: Floats


@dataclass(frozen=True, kw_only=True, eq=False)
class ScanFit:
    """How one scan is fitted.

    Attributes:
        fitted: Model at its points, in its intensity unit, shape (point,).
        chi2: Sum of its squared residuals.
        reduced_chi2: chi2 over its points minus its share of the free parameters.
        counting_chi2: The same fit's reduced chi2 by counting noise alone, no error granted to the model.
        rms_log10: rms of log10 fitted over measured, points with measured > 0.
    """

    fitted: Floats
    chi2: float
    reduced_chi2: float
    rms_log10: float
    counting_chi2: float | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Reflection:
    """A further scan of the sample, at another reflection, that shares the profile.

    Attributes:
        label: Ends the names of its own parameters, such as 888.
        scan: The measured curve.
        substrate_angle: Kinematic Bragg position of the substrate on its axis, offset included.
        likelihood: How its residuals were weighted, in words.
    """

    label: str
    scan: Scan
    substrate_angle: float
    likelihood: str


@dataclass(frozen=True, kw_only=True, eq=False)
class Mode:
    """One distinct solution.

    Attributes:
        parameters: Fitted and held ones, in the sample's order.
        covariance: Of the fitted ones, in the order of `fitted_names`.
        fitted_names: Names of the parameters that were free.
        chi2: Sum of squared weighted residuals.
        reduced_chi2: chi2 over points minus free parameters.
        counting_chi2: The same fit's reduced chi2 by counting noise alone, no error granted to the model.
        rms_log10: rms of log10 fitted over measured, points with measured > 0, of all scans.
        weight: Share of the posterior among the modes [1].
        starts: How many of the refined starts led to this profile.
        effective_draws: Effective number of the weighted draws behind sd, intervals and bands.
        pareto_k: Shape of the tail of their weights; above 0.7 they cannot be trusted.
        fitted: Model at the (first) scan's points, in the scan's intensity unit, shape (point,).
        scans: Each scan by itself, the first one first.
        bands: The profile over depth.
        maximum_strain: Largest strain by magnitude [1] and its depth [Å].
        derived: What follows from the profile, with its intervals.
        draws: Of equal weight, behind the bands, shape (draw, fitted), in the order of `fitted_names`; None where there
            are none.
        known_to: Depth [Å] below which the posterior of strain and of E keeps more than half of the prior's variance;
            None if there is none.
    """

    parameters: tuple[FittedParameter, ...]
    covariance: Floats
    fitted_names: tuple[str, ...]
    chi2: float
    reduced_chi2: float
    rms_log10: float
    weight: float
    starts: int
    fitted: Floats
    bands: DepthBands
    maximum_strain: tuple[float, float]
    derived: tuple[DerivedQuantity, ...] = ()
    scans: tuple[ScanFit, ...] = ()
    draws: Floats | None = None
    known_to: float | None = None
    counting_chi2: float | None = None
    effective_draws: float = float("inf")
    pareto_k: float = float("-inf")

    def parameter(self, name: str) -> FittedParameter:
        """The parameter of that name."""
        return next(p for p in self.parameters if p.name == name)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether to believe the result, and why.

    Attributes:
        level: "reliable", "check" or "do not use".
        reasons: One sentence each, with numbers.
    """

    level: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """How well the posterior of all modes together was drawn, and the integral over it.

    Attributes:
        log_evidence: ln of the integral of exp(-χ²/2) over the prior, χ² the likelihood's sum of squares, by the
            weighted draws. Models of the same scan compare by it if model error and noise factors are the same.
        nested_log_evidence: The same by nested sampling; None where it was not asked for, or came to nothing.
        effective_draws: Effective number of draws; nested sampling's where that was asked for.
        pareto_k: Shape of the tail of their weights; above 0.7 the odds between modes cannot be trusted.
        noise_factors: For each scan, the first one first, by what its χ² was divided [1]: how far residuals exceed the
            assumed noise, times the points for each independent one.
    """

    log_evidence: float
    nested_log_evidence: float | None
    effective_draws: float
    pareto_k: float
    noise_factors: tuple[float, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Result:
    """An inversion: modes (that of most weight first), verdict, and what is needed to repeat it.

    Attributes:
        scan: The measured curve.
        modes: Distinct solutions, that of most weight first; at least one.
        verdict: Trust.
        sample: The sample file's settings as used, plain data.
        likelihood: How the residuals were weighted, in words.
        band_meaning: What the bands are, in words.
        substrate_angle: Kinematic Bragg position of the substrate on the scan's axis, offset included.
        seed: Of the search.
        version: Of Strainscope.
        wall_s: Time the inversion took [s].
        counters: Numbers of the search (draws, starts, ...).
        beside: Further reflections that were fitted together with the scan.
        evidence: The integral over the posterior, and how well it was drawn; None where it was not drawn.
        ions: What another program says of the ions, drawn beside the profile; nothing is fitted to it.
    """

    scan: Scan
    modes: tuple[Mode, ...]
    verdict: Verdict
    sample: dict[str, Any]
    likelihood: str
    band_meaning: str
    substrate_angle: float
    seed: int
    version: str
    wall_s: float
    counters: dict[str, int] = field(default_factory=dict)
    beside: tuple[Reflection, ...] = ()
    evidence: Evidence | None = None
    ions: tuple[IonProfile, ...] = ()

    @property
    def model_error(self) -> float | None:
        """Relative error granted to the model, as the settings have it; None where they do not say."""
        search = self.sample.get("search")
        found = (search if isinstance(search, dict) else self.sample).get("model_error")
        return float(found) if isinstance(found, int | float) else None

    def seen_at(self, index: int) -> "Result":
        """The result as one of the further reflections sees it: its scan and its fits, the same profile."""
        own = self.beside[index]
        modes = tuple(_as_fitted(mode, mode.scans[index + 1]) for mode in self.modes)
        return replace(
            self,
            scan=own.scan,
            modes=modes,
            likelihood=own.likelihood,
            substrate_angle=own.substrate_angle,
            beside=(),
        )

    @property
    def best(self) -> Mode:
        """The mode of most weight."""
        return self.modes[0]


def _as_fitted(mode: Mode, own: ScanFit) -> Mode:
    return replace(
        mode,
        fitted=own.fitted,
        chi2=own.chi2,
        reduced_chi2=own.reduced_chi2,
        counting_chi2=own.counting_chi2,
        rms_log10=own.rms_log10,
        scans=(own,),
    )
