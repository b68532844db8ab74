"""A sample with what its scans say of themselves."""

from collections.abc import Sequence

from strainscope.sample.sample import Sample, validated
from strainscope.scan import Scan


def as_measured(sample: Sample, scans: Sequence[Scan]) -> Sample:
    """The sample with the axis and the kind of intensity of its scans in place of what its file says.

    Args:
        sample: With one reflection or several.
        scans: One for each reflection.
    """
    said = [{"axis": scan.axis, "intensity": scan.intensity_kind} for scan in scans]
    if all(own.scan.model_dump() == words for own, words in zip(sample.by_reflection(), said, strict=True)):
        return sample
    settings = sample.model_dump(exclude_unset=True) | {"scan": said[0]}
    for entry, words in zip(settings.get("reflections", ()), said, strict=False):
        entry["scan"] = words
    # Paths are resolved already, so no folder is given.
    return validated(settings, source="scan", folder=None)
