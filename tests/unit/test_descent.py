"""Descents: which go on, and which places stand for which starts."""

import numpy as np

from strainscope.inversion.descent import Descents


def test_starts_are_counted_where_they_came_together():
    descents = Descents(
        z=np.arange(10.0).reshape(5, 2),
        misfit=np.array([3.0, 9.0, 1.0, 8.0, 7.0]),
        leader=np.array([0, 2, 2, 0, 4]),
    )
    z, misfit, behind = descents.ends(np.array([1, 2, 3, 4, 5]))
    np.testing.assert_array_equal(z, descents.z[[0, 2, 4]])
    np.testing.assert_array_equal(misfit, [3.0, 1.0, 7.0])
    np.testing.assert_array_equal(behind, [5, 5, 5])
