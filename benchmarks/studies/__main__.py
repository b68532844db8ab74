"""The command: `python -m benchmarks.studies NAME…`."""

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from benchmarks.studies.table import STUDIES

TEST_SET, TEST_CURVES = "balanced", 2_000
ALL = "all"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the studies that are named; the exit code."""
    given = _parser().parse_args(arguments)
    # Torch and the like are no matter of the processes that simulate, which import this module, too.
    from benchmarks import cases
    from benchmarks.studies.page import write_page
    from benchmarks.studies.runner import Settings, results_of
    from strainscope.evaluation import load_test_set

    settings = Settings(folder=given.folder, minutes=given.minutes, curves=given.curves, seed=given.seed)
    tell = partial(print, flush=True)
    tell(cases.machine())
    try:
        test_set = load_test_set(TEST_SET, size=TEST_CURVES)
        for name in STUDIES if ALL in given.names else dict.fromkeys(given.names):
            tell(f"{name}: {STUDIES[name].question}")
            results = results_of(STUDIES[name], settings, test_set, tell=tell)
            tell(f"{write_page(name, STUDIES[name], results, settings, given.docs)}")
    except KeyboardInterrupt:
        print("interrupted; the same command goes on where it was", file=sys.stderr)
        return 130
    except (OSError, ValueError) as error:
        print(f"{error}", file=sys.stderr)
        return 2
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.studies", description=__doc__)
    parser.add_argument(
        "names", metavar="NAME", nargs="+", choices=[*STUDIES, ALL], help=", ".join([*STUDIES, ALL])
    )
    parser.add_argument("--minutes", type=_minutes, default=4.0, help="budget of a variant (4)")
    parser.add_argument("--folder", type=Path, default=Path("build/studies"), help="of data and trainings")
    parser.add_argument("--curves", type=_count, default=200_000, help="of each training set (200000)")
    parser.add_argument(
        "--seed", type=int, choices=range(1_000), metavar="SEED", default=0, help="of weights (0)"
    )
    parser.add_argument("--docs", type=Path, default=Path("docs"), help="where the pages are written (docs)")
    return parser


def _minutes(text: str) -> float:
    value = float(text)
    if not 0 < value <= 10_000:
        raise argparse.ArgumentTypeError(f"{text} minutes; it must lie above 0, at most 10,000.")
    return value


def _count(text: str) -> int:
    value = int(text)
    if not 1_000 <= value <= 1_000_000:
        raise argparse.ArgumentTypeError(f"{text} curves; it must lie in 1,000 to 1,000,000.")
    return value


if __name__ == "__main__":
    sys.exit(main())
