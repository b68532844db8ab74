"""The tab with maps: choose one, hover a pixel, see its curve, fit and profile."""

import h5py
import numpy as np
import pytest
from tests.browser.conftest import Server

from strainscope.maps import MapJob, invert_map, open_stack
from strainscope.sample import load_sample

SAMPLE = """crystal: GGG
reflection: [4, 4, 4]
wavelength: 1.54056
scan: {axis: delta-theta-arcsec, intensity: counts}
strain: double-gaussian
disorder: none
model_error: 0
resolution: {family: gaussian, fwhm_range_arcsec: [10, 60]}
fit:
  Dmax1: {bounds: [0.002, 0.008]}
  L1: {bounds: [1500, 4000]}
  Rp1: {value: 1400, held: true}
  D01: {value: 0.0015, held: true}
  D02: {value: 0.0005, held: true}
  L2: {value: 1200, held: true}
  Rp2: {value: -500, held: true}
  fwhm_arcsec: {value: 20, held: true}
"""


@pytest.fixture(scope="module")
def maps(tmp_path_factory):
    root = tmp_path_factory.mktemp("maps")
    (root / "sample.yaml").write_text(SAMPLE)
    sample = load_sample(str(root / "sample.yaml"))
    rows = []
    for strain in np.linspace(0.004, 0.006, 12):
        values = sample.simulated_values({"Dmax1": strain, "L1": 2600, "Rp1": 1400}, counts=1e5)
        scan, _ = sample.simulate(values, counts=1e5, seed=0, span=(-700, 150), step=10)
        rows.append(scan.intensity)
    with h5py.File(root / "stack.h5", "w") as file:
        data = file.create_group("entry/data")
        data.attrs.update({"NX_class": "NXdata", "signal": "counts", "axes": ["y", "x", "delta_theta"]})
        data["counts"] = np.array(rows, dtype=np.int64).reshape(3, 4, -1)
        data["delta_theta"] = scan.angle
        data["delta_theta"].attrs["units"] = "arcsec"
    job = MapJob(sample=str(root / "sample.yaml"), draws=512)
    invert_map(open_stack(root / "stack.h5"), job, root / "folder" / "wafer 7")
    return root / "folder"


def test_a_pixel_under_the_pointer_shows_curve_fit_and_profile(maps, visitor, look, tmp_path):
    server = Server(tmp_path, "--maps", str(maps))
    try:
        page = visitor(server.place)
        page.get_by_role("tab", name="Maps").click()
        frame = page.frame_locator("#ss-map")
        frame.get_by_role("heading", name="Map of stack").wait_for()
        frame.locator("#map").hover(position={"x": 5, "y": 5})
        frame.get_by_text("row 0, column 0").wait_for()
        drawn = "() => document.querySelector('#ss-map').contentDocument.querySelector('#curve').toDataURL()"
        # The pixels come from a file beside the page.
        page.wait_for_timeout(1000)
        first = page.evaluate(drawn)
        frame.locator("#map").press("ArrowDown")
        frame.get_by_text("row 1, column 0").wait_for()
        page.wait_for_timeout(300)
        assert page.evaluate(drawn) != first
        look(page, "map")
        with page.expect_download() as download:
            page.get_by_role("link", name="Download everything").click()
        with h5py.File(download.value.path()) as file:
            assert file["entry/parameters/Dmax1/mean"].shape == (3, 4)
    finally:
        server.stop()
