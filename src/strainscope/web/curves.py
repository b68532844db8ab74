"""Simulated curves as replies: at the points of a scan, or at angles as `strainscope simulate` chooses them."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from strainscope.profile import DepthProfile
from strainscope.scan import UNITS, Scan
from strainscope.web.live import LiveModel
from strainscope.web.requests import SimulateReply, SimulateRequest
from strainscope.web.samples import Cifs, read_sample

Floats = NDArray[np.float64]

PROFILE_DEPTHS = 161
# Profiles are drawn down to where the strain is over, and a little below, but at least so far [Å].
_BELOW, _LEAST_A = 1.1, 100.0


def at_points(model: LiveModel, request: SimulateRequest) -> SimulateReply:
    """What a scan would be with the values of a request.

    Raises:
        ValueError: a value that is not allowed, or something that makes no sense with a scan.
    """
    for name in ("counts", "range", "step"):
        if getattr(request, name) is not None:
            raise ValueError(
                f"{name} = {getattr(request, name)}; with a scan, its points are taken: leave it out."
            )
    curve = model.curve(request.values)
    profile = model.problem.model.experiment.profile
    return _reply(model.scan, curve.expected, curve.values, curve.notes, profile, rms_log10=curve.rms_log10)


def at_usual_angles(request: SimulateRequest, cifs: Cifs) -> SimulateReply:
    """The curve that `strainscope simulate` writes.

    Args:
        request: What is asked.
        cifs: What its sample may name.

    Raises:
        ValueError: what is wrong with the sample, a value, or what is asked of the scan.
    """
    described = read_sample(request.sample, cifs).with_options(axis=request.axis)
    if request.reflection is not None:
        described = described.at_reflection(tuple(request.reflection))
    if described.scan.axis is None:
        raise ValueError("no scan axis; give axis: delta-theta-arcsec, omega-deg or two-theta-deg.")
    settings = described.simulated_values(request.values, counts=request.counts)
    scan, values = described.simulate(
        settings, counts=request.counts, seed=request.seed, span=request.range, step=request.step
    )
    notes = described.simulation_notes(values, given=request.values, counts=request.counts)
    return _reply(scan, scan.intensity, values, notes, described.experiment().profile, rms_log10=None)


def _reply(
    scan: Scan,
    intensity: Floats,
    values: Mapping[str, float],
    notes: tuple[str, ...],
    profile: DepthProfile,
    *,
    rms_log10: float | None,
) -> SimulateReply:
    own = np.array([[values[spec.name] for spec in profile.parameters]])
    reach = float(profile.strain.extent(own[:, : len(profile.strain.parameters)], 1e-4)[0])
    depth = np.linspace(0, _BELOW * max(reach, _LEAST_A), PROFILE_DEPTHS)
    strain, factor = profile.evaluate(depth[None], own)
    # Not checked again: it is made here, and a slider waits.
    return SimulateReply.model_construct(
        axis=scan.axis,
        unit=UNITS[scan.axis],
        intensity_kind=scan.intensity_kind,
        angle=scan.angle.tolist(),
        intensity=intensity.tolist(),
        values=dict(values),
        notes=list(notes),
        profile={
            "depth_A": depth.tolist(),
            "strain": strain[0].tolist(),
            "debye_waller": factor[0].tolist(),
        },
        rms_log10=rms_log10,
        server_ms=0.0,
    )
