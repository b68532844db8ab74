"""Where there is a GPU, every test of this folder runs on it, too."""

import pytest

from strainscope.diffraction import chosen_device, use_device

if chosen_device("auto") == "cuda":

    @pytest.fixture(autouse=True, scope="module", params=["cpu", "cuda"])
    def device(request):
        """Where curves are simulated unless a test names a device."""
        use_device(request.param)
        yield
        use_device("cpu")
