"""Runs every part and writes its figures into benchmarks/latest.json: `python -m benchmarks`."""

import json
from pathlib import Path

from benchmarks import cases, convergence, dataset, engine

LATEST = Path(__file__).with_name("latest.json")
PARTS = (engine, convergence, dataset)


def main() -> None:
    """Prints each part's tables; the file maps the name of a figure to its value."""
    print(cases.machine())
    figures: dict[str, float] = {}
    for part in PARTS:
        found = part.run()
        part.report(found)
        twice = figures.keys() & found.keys()
        if twice:
            names = ", ".join(sorted(twice))
            raise RuntimeError(f"{part.__name__} names figures that another part has: {names}.")
        figures |= found
    rounded = {name: float(f"{value:.5g}") for name, value in figures.items()}
    LATEST.write_text(json.dumps(rounded, indent=2) + "\n", encoding="utf-8")
    print(f"\n{len(figures)} figures in {LATEST}")


if __name__ == "__main__":
    main()
