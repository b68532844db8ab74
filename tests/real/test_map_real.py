"""A map of one measured curve, counted anew for every pixel, with all that a lone inversion leaves free."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from strainscope.maps import LEVELS, MapJob, invert_map, open_stack
from strainscope.readers import read_scan

FOLDER = Path(__file__).resolve().parents[3] / "shared/data/real"

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"no measured curves in {FOLDER}")


def test_pixels_agree_with_the_lone_inversion(tmp_path):
    scan = read_scan(
        FOLDER / "ggg444_dose1_counts.xy", axis="delta-theta-arcsec", intensity_kind="counts"
    )
    angle, first = np.unique(scan.angle, return_index=True)
    counts = scan.intensity[first].astype(np.int64)
    thinned = np.random.default_rng(0).binomial(counts, 0.8, size=(3, 3, len(angle)))
    with h5py.File(tmp_path / "stack.nxs", "w") as file:
        data = file.create_group("entry/data")
        data.attrs.update({"NX_class": "NXdata", "signal": "counts", "axes": ["y", "x", "delta_theta"]})
        data["counts"], data["delta_theta"] = thinned, angle
        data["delta_theta"].attrs["units"] = "arcsec"
    invert_map(open_stack(tmp_path / "stack.nxs"), MapJob(sample="ggg444"), tmp_path / "map")
    with h5py.File(tmp_path / "map/map.nxs") as file:
        strain = file["entry/derived/maximum_strain/mean"][()]
        depth = file["entry/derived/maximum_strain_depth/mean"][()]
        level = file["entry/verdict/level"][()]
    # What three programs and an expert's hand found, see the file's notes.
    np.testing.assert_allclose(strain, 0.0082, rtol=0.02)
    np.testing.assert_allclose(depth, 3330, rtol=0.03)
    assert (level < LEVELS.index("do not use")).all()
