"""Determinants side by side are those of LAPACK, also where elimination needs pivots."""

import numpy as np
import pytest

from strainscope.inversion.determinants import log_determinants

DIMENSION = 12


def lapack(matrices):
    return np.linalg.slogdet(np.moveaxis(matrices, -1, 0))


def near_identity(number, *, off):
    rng = np.random.default_rng(number)
    return np.eye(DIMENSION)[..., None] + off * rng.standard_normal((DIMENSION, DIMENSION, number))


@pytest.mark.parametrize("number", [1, 63, 64, 65, 500])
@pytest.mark.parametrize("off", [0.01, 0.3, 3.0])
def test_signs_and_sizes(number, off):
    matrices = near_identity(number, off=off)
    before = matrices.copy()
    side, size = log_determinants(matrices)
    expected_side, expected_size = lapack(matrices)
    np.testing.assert_array_equal(side, expected_side)
    np.testing.assert_allclose(size, expected_size, rtol=0, atol=1e-8)
    np.testing.assert_array_equal(matrices, before)


def test_a_pivot_of_zero():
    matrices = near_identity(70, off=0.1)
    matrices[:2, :2, 5] = [[0.0, 1.0], [1.0, 0.0]]
    matrices[0, 0, 66] = 1e-9
    side, size = log_determinants(matrices)
    expected_side, expected_size = lapack(matrices)
    np.testing.assert_array_equal(side, expected_side)
    np.testing.assert_allclose(size, expected_size, rtol=0, atol=1e-8)


def test_what_leaves_the_range_of_numbers():
    matrices = near_identity(3, off=0.1)
    matrices[..., 1] *= 1e-30
    matrices[..., 2] = 0.0
    side, size = log_determinants(matrices)
    assert side[1] == lapack(matrices)[0][1]
    assert size[1] == pytest.approx(lapack(matrices)[1][1], abs=1e-8)
    assert side[2] == 0
    assert size[2] == -np.inf
