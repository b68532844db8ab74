"""Whether pixels of a map hold the truth as often as their standard deviations say."""

import numpy as np
import pytest
from benchmarks import maps as benchmark

from strainscope.maps import LEVELS, MapJob, invert_map, open_stack
from strainscope.sample import load_sample

SIDE = 12
# The parameters of a pixel are not independent; its count of those within 1 sd varies this much more than by chance.
CORRELATED = 2.0


@pytest.fixture(scope="module")
def mapped(tmp_path_factory):
    folder = tmp_path_factory.mktemp("map")
    (folder / "garnet.yaml").write_text(benchmark.SAMPLE, encoding="utf-8")
    sample = load_sample(str(folder / "garnet.yaml"))
    truth = benchmark.simulate(folder / "stack.nxs", sample, SIDE, 3)
    job = MapJob(sample=str(folder / "garnet.yaml"), draws=2048)
    invert_map(open_stack(folder / "stack.nxs"), job, folder / "map")
    return folder / "map", truth


def limits(share, number):
    """Four standard deviations of chance around a share."""
    room = 4 * CORRELATED * np.sqrt(share * (1 - share) / number)
    return share - room, share + room


def test_truths_lie_within_sd_as_often_as_they_should(mapped):
    names, shares, level = benchmark.coverage(*mapped)
    assert (level == LEVELS.index("reliable")).mean() > 0.9
    assert len(names) == 10
    for k, share in enumerate(benchmark.SHARES[:2]):
        low, high = limits(share, SIDE**2 * len(names))
        assert low < shares[:, k].mean() < high
        # And each parameter by itself.
        low, high = limits(share, SIDE**2)
        assert ((shares[:, k] > low) & (shares[:, k] < high)).all()
    assert shares[:, 2].min() > 0.96


def test_standard_deviations_of_half_the_size_fail(mapped):
    names, shares, _ = benchmark.coverage(*mapped, factor=0.5)
    low, _ = limits(benchmark.SHARES[0], SIDE**2 * len(names))
    assert shares[:, 0].mean() < low
