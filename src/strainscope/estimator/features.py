r"""What a network sees of curves and scans: their logarithm, and the spectrum of their tails.

.. math:: x_i = \lg \frac{R_i}{\max R}, \qquad
    y_k = \lg \Big| \sum_i w_i q_i^2 \frac{R_i}{\max R} e^{-2\pi i k i/2n} \Big|

with q the distance from the strongest point of the mean curve, over the curve's length, and w a Hann window. In the
weak limit q² R is the squared modulus of the transform of what scatters beside the perfect crystal, so y shows depths
and distances of steep strain as peaks where x shows fringes.
"""

import torch
from torch import nn

# Intensities below this share of a curve's own maximum are taken as it (log10 must stay finite).
LEAST = 1e-12
# Spectral lines beyond belong to depths that hardly any prior reaches, and hold noise.
_KEPT = 0.43
# Added to q so that the strongest point itself counts a little, and to the spectrum so that its logarithm is finite.
_NEAR, _LEAST_LINE = 0.01, 1e-9


class CurveFeatures(nn.Module):
    """Standardised features of curves.

    Args:
        points: Of a curve.
    """

    mean: torch.Tensor
    scale: torch.Tensor
    line_mean: torch.Tensor
    line_scale: torch.Tensor
    lever: torch.Tensor

    def __init__(self, points: int) -> None:
        super().__init__()
        self.points, self.lines = points, max(2, round(_KEPT * points))
        self.register_buffer("mean", torch.zeros(points))
        self.register_buffer("scale", torch.ones(()))
        self.register_buffer("line_mean", torch.zeros(self.lines))
        self.register_buffer("line_scale", torch.ones(()))
        self.register_buffer("lever", torch.ones(points))

    @property
    def number(self) -> int:
        """Features of a curve."""
        return self.points + self.lines

    def standardise(self, curves: torch.Tensor) -> None:
        """Take the strongest point, means and scales from curves (n, point)."""
        logs = _logs(curves)
        self.mean.copy_(logs.mean(dim=0))
        self.scale.copy_((logs - self.mean).std())
        self.lever.copy_(_lever(self.mean))
        lines = _lines(logs, self.lever, self.lines)
        self.line_mean.copy_(lines.mean(dim=0))
        self.line_scale.copy_((lines - self.line_mean).std())

    def forward(self, curves: torch.Tensor) -> torch.Tensor:
        """Features (batch, number) of curves (batch, point)."""
        logs = _logs(curves)
        lines = (_lines(logs, self.lever, self.lines) - self.line_mean) / self.line_scale
        return torch.cat([(logs - self.mean) / self.scale, lines], dim=1)


class ScanFeatures(nn.Module):
    """Standardised features of scans on the network's grid.

    A scan is one row of numbers: its channels one after the other (log10 of the counts over those at the peak, the
    standard error of that, 1 where measured; see `measurement.GridAngles`), then what the network is told.

    Args:
        points: Of the network's grid.
        told: Numbers that the network is told.
    """

    mean: torch.Tensor
    scale: torch.Tensor
    line_mean: torch.Tensor
    line_scale: torch.Tensor
    lever: torch.Tensor

    def __init__(self, points: int, told: int) -> None:
        super().__init__()
        self.points, self.told, self.lines = points, told, max(2, round(_KEPT * points))
        self.register_buffer("mean", torch.zeros(points))
        self.register_buffer("scale", torch.ones(points))
        self.register_buffer("line_mean", torch.zeros(self.lines))
        self.register_buffer("line_scale", torch.ones(()))
        self.register_buffer("lever", torch.ones(points))

    @property
    def number(self) -> int:
        """Features of a scan."""
        return 3 * self.points + self.lines + self.told

    def standardise(self, rows: torch.Tensor) -> None:
        """Take the strongest point, means and scales from scans (n, 3 point + told)."""
        logs, _, measured, _ = self._parts(rows)
        seen = measured.sum(dim=0).clamp(min=1)
        self.mean.copy_((logs * measured).sum(dim=0) / seen)
        spread = ((logs - self.mean) ** 2 * measured).sum(dim=0) / seen
        # Points that hardly any scan reaches have no spread of their own.
        self.scale.copy_(spread.sqrt().clamp(min=0.05))
        self.lever.copy_(_lever(torch.where(seen > 1, self.mean, -torch.inf)))
        lines = _lines(logs, self.lever * measured, self.lines)
        self.line_mean.copy_(lines.mean(dim=0))
        self.line_scale.copy_((lines - self.line_mean).std())

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Features (batch, number) of scans (batch, 3 point + told)."""
        logs, error, measured, told = self._parts(rows)
        values = (logs - self.mean) / self.scale * measured
        # Standard errors span decades: 1e-4 at a million counts, 1 at none.
        errors = (torch.log10(error + 1e-4) + 2) * measured
        lines = (_lines(logs, self.lever * measured, self.lines) - self.line_mean) / self.line_scale
        return torch.cat([values, errors, measured, lines, told], dim=1)

    def _parts(self, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
        p = self.points
        return rows[:, :p], rows[:, p : 2 * p], rows[:, 2 * p : 3 * p], rows[:, 3 * p :]


def _lever(mean: torch.Tensor) -> torch.Tensor:
    """w q² of a mean curve (point,), q counted from its strongest point."""
    distance = (torch.arange(len(mean)) - int(mean.argmax())).abs() / len(mean)
    return (distance + _NEAR) ** 2 * torch.hann_window(len(mean))


def _lines(logs: torch.Tensor, lever: torch.Tensor, number: int) -> torch.Tensor:
    """log10 of the first lines of the spectrum, from log10 intensities (n, point) and w q², (point,) or (n, point)."""
    spectrum = torch.fft.rfft(lever * 10.0**logs, n=2 * logs.shape[1])
    return torch.log10(spectrum[:, :number].abs() + _LEAST_LINE)


def _logs(curves: torch.Tensor) -> torch.Tensor:
    top = curves.amax(dim=1, keepdim=True)
    return torch.log10(torch.clamp(curves / top, min=LEAST))
