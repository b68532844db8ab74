"""Files as instruments write them, made to the published schemas and to what is known of the other formats."""

import numpy as np

GGG444_DEG = 25.532  # Bragg angle at Cu Kα1
OMEGA = np.round(np.linspace(GGG444_DEG - 0.1, GGG444_DEG + 0.1, 101), 6)


def counts(*, peak=20000, seed=1):
    """Whole counts of a peak on a slope at lower angles."""
    away = (OMEGA - GGG444_DEG) / 0.008
    expected = peak / (1 + away**2) + 20 + peak / 200 * (away < 0)
    return np.random.default_rng(seed).poisson(expected).astype(float)


def words(values, form="{:.6g}"):
    return " ".join(form.format(value) for value in values)


def xrdml_scan(
    *,
    axis="Omega",
    omega=(OMEGA[0], OMEGA[-1]),
    two_theta=None,
    values=None,
    name="counts",
    times=None,
    factors=None,
    more="",
    status="Completed",
):
    """One <scan>; positions are (first, last), or one number where the axis stands still."""
    values = counts() if values is None else values

    def positions(called, ends):
        if np.ndim(ends) == 0:
            inside = f"<commonPosition>{ends:.6f}</commonPosition>"
        elif len(ends) == 2:
            inside = f"<startPosition>{ends[0]:.6f}</startPosition><endPosition>{ends[1]:.6f}</endPosition>"
        else:
            inside = f"<listPositions>{words(ends, '{:.6f}')}</listPositions>"
        return f'<positions axis="{called}" unit="deg">{inside}</positions>'

    time = (
        '<commonCountingTime unit="seconds">2.000</commonCountingTime>'
        if times is None
        else f'<countingTimes unit="seconds">{words(times)}</countingTimes>'
    )
    factor = "" if factors is None else f"<beamAttenuationFactors>{words(factors)}</beamAttenuationFactors>"
    two_theta = 2 * GGG444_DEG if two_theta is None else two_theta
    return f"""<scan appendNumber="0" mode="Continuous" scanAxis="{axis}" status="{status}"><dataPoints>
{positions("2Theta", two_theta)}{positions("Omega", omega)}
<positions axis="Phi" unit="deg"><commonPosition>0.00</commonPosition></positions>
<positions axis="X" unit="mm"><commonPosition>0.00</commonPosition></positions>
{time}{factor}{more}<{name} unit="counts">{words(values, "{:.10g}")}</{name}></dataPoints></scan>"""


def xrdml(*scans, version="1.5", intended="K-Alpha 1", ka1=1.540598, detector=""):
    """A whole .xrdml."""
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<xrdMeasurements xmlns="http://www.xrdml.com/XRDMeasurement/{version}" status="Completed">
<sample type="To be analyzed"><id>B-17</id><name>implanted GGG</name></sample>
<xrdMeasurement measurementType="Scan" status="Completed"><usedWavelength intended="{intended}">
<kAlpha1 unit="Angstrom">{ka1}</kAlpha1><kAlpha2 unit="Angstrom">1.544426</kAlpha2>
<kBeta unit="Angstrom">1.392250</kBeta><ratioKAlpha2KAlpha1>0.5</ratioKAlpha2KAlpha1></usedWavelength>
<incidentBeamPath><xRayTube id="1"><anodeMaterial>Cu</anodeMaterial></xRayTube></incidentBeamPath>
<diffractedBeamPath><detector>{detector}</detector></diffractedBeamPath>
{"".join(scans)}</xrdMeasurement></xrdMeasurements>""".encode()
