"""A result with what scripts and notebooks ask of it."""

from dataclasses import fields
from typing import Literal

import xarray as xr

from strainscope import inversion, plots, report
from strainscope.scripting.labelled import result_dataset

Kind = Literal["summary", "fit", "profile"]


class Result(inversion.Result):
    """An inversion: distinct solutions (`modes`, the best first, also as `best`), verdict, and how it was made.

    The data are those of `strainscope.inversion.Result`, which knows of no pictures and no pages.
    """

    @classmethod
    def of(cls, found: inversion.Result) -> "Result":
        """The result of `strainscope.inversion.invert` with these methods."""
        return cls(**{field.name: getattr(found, field.name) for field in fields(found)})

    def to_xarray(self) -> xr.Dataset:
        """Curve, fit, residuals, profiles with their bands, and parameters, labelled and with their units.

        Returns:
            Dataset over `angle`, `mode` (1 is the best), `depth` [Å], `limit` ("lower", "upper") and `estimate`; a
            parameter is `parameter_NAME`. Units are in attributes, and the verdict is among the dataset's own.
        """
        return result_dataset(self)

    def plot(self, kind: Kind = "summary", *, width: str | float | None = None) -> plots.Picture:
        """A figure, which a notebook shows and `savefig` writes.

        Args:
            kind: "summary" (fit and profile side by side), "fit" or "profile".
            width: "single" (85 mm), "double" (175 mm), or millimetres; by default double for the summary, else single.

        Raises:
            ValueError: another kind, or a width that no page has.
        """
        figures = {
            "summary": plots.summary_figure,
            "fit": plots.fit_figure,
            "profile": plots.profile_figure,
        }
        if kind not in figures:
            raise ValueError(f"kind = {kind!r}; it must be one of {', '.join(figures)}.")
        usual = "double" if kind == "summary" else "single"
        return figures[kind](self, width_in=report.width_in(usual if width is None else width))

    def __repr__(self) -> str:
        strain, _, _, depth = report.largest_strain_text(self.best)
        return (
            f"<Result of {self.scan.name}: {self.verdict.level}; largest strain {strain} % at {depth} nm; "
            f"{report.solutions_text(self)}>"
        )

    def _repr_html_(self) -> str:
        return report.report_fragment(self)
