"""Estimators by name or file. Torch is imported by what needs it, so that a lack of it can be said in a line."""

from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from strainscope.inversion.proposal import Proposal
    from strainscope.sample import Sample

NO_TORCH = "networks need PyTorch, which is not installed; install it with: pip install 'strainscope[networks]'"


def proposal_of(estimator: str, sample: "Sample") -> "Proposal":
    """An estimator, by name or file, as what proposes profiles for scans of a sample.

    Raises:
        ValueError: PyTorch is missing, or the estimator does not serve the sample.
        OSError: its file cannot be read.
    """
    from strainscope.estimator.shipped import estimator_path

    # A name that is none is none without PyTorch, too.
    weights = estimator_path(estimator)
    require_torch()
    from strainscope.estimator.load import load_estimator
    from strainscope.estimator.proposal import DrawsScans, ScanProposal

    # What has no posterior reads no scans, which is refused there.
    return ScanProposal(cast(DrawsScans, load_estimator(weights)), sample, name=weights.stem)


def require_torch() -> None:
    """Raise a ValueError that says how to install PyTorch where it is missing."""
    try:
        import torch  # noqa: F401
    except ImportError:
        raise ValueError(NO_TORCH) from None
