"""The posterior of a scan from coarse to exact: basins that are too narrow to be found at once are wide at first."""

from strainscope.inversion.problem import Problem
from strainscope.inversion.target import Target


class Levels:
    """Targets of one problem whose model error falls from level to level; those of one model share its tables.

    Args:
        problem: The scan prepared.

    Attributes:
        problem: The same.
        coarse: Fewer angles, fewer sublayers, the largest model error.
        exact: The problem itself.
        falling: From the largest model error after the coarse one to the exact one, which comes last.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.coarse, self.exact = Target(problem.coarse), Target(problem)
        eased = [Target(problem.granting(error), tables_of=self.exact) for error in problem.model_errors()[:-1]]
        self.falling = (*eased, self.exact)

    @property
    def evaluations(self) -> int:
        """Curves simulated so far, at all levels."""
        return sum(own.evaluations for own in (self.coarse, *self.falling))
