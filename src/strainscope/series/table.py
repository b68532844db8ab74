"""One row a scan: verdict, fit, every parameter and derived quantity with its interval."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from strainscope.series.job import DERIVED_ENDS, PARAMETER_ENDS
from strainscope.series.run import Outcome

TABLE_FILES = ("series.csv", "series.parquet")


def series_table(outcomes: Sequence[Outcome], columns: Mapping[str, Sequence[str]]) -> pa.Table:
    """The table of a series.

    Args:
        outcomes: What became of each scan.
        columns: What else is known of each, text by name; numbers where all that is given are numbers.

    Raises:
        ValueError: a column that is given has the name of one of the results'.

    Returns:
        Columns `file`, those given, `verdict`, `reasons`, fit, weights of the modes, what is known of the draws, then
        `NAME` with the ends of its interval, quantiles by their per cent: `NAME_p16` and `NAME_p84` of derived
        quantities, `NAME_p5` and `NAME_p95` of parameters; units in the field's metadata; null where a scan failed.
    """
    rows = [_row(outcome) for outcome in outcomes]
    for name, texts in columns.items():
        if any(name in row for row, _ in rows):
            raise ValueError(f"--table: its column {name!r} has the name of a result's; give it another.")
        for (row, _), value in zip(rows, _numbers(texts), strict=True):
            row[name] = value
    names = list(dict.fromkeys(name for row, _ in rows for name in row))
    first = [n for n in ("file", *columns, "verdict", "reasons") if n in names]
    names = first + [n for n in names if n not in first]
    units = {name: unit for _, own in rows for name, unit in own.items()}
    arrays = [pa.array([row.get(name) for row, _ in rows]) for name in names]
    fields = [
        pa.field(name, array.type, metadata={"unit": units[name]} if name in units else None)
        for name, array in zip(names, arrays, strict=True)
    ]
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def write_table(table: pa.Table, folder: Path) -> None:
    """Write TABLE_FILES into a folder."""
    pyarrow.csv.write_csv(table, folder / TABLE_FILES[0])
    pyarrow.parquet.write_table(table, folder / TABLE_FILES[1])


def read_document(outcome: Outcome) -> dict[str, Any] | None:
    """The result of a scan as plain data; None where it failed."""
    if outcome.folder is None:
        return None
    document: dict[str, Any] = json.loads((outcome.folder / "result.json").read_text(encoding="utf-8"))
    return document


def _row(outcome: Outcome) -> tuple[dict[str, Any], dict[str, str]]:
    """Values of a scan by column, and units."""
    row: dict[str, Any] = {"file": str(outcome.file)}
    units: dict[str, str] = {}
    document = read_document(outcome)
    if document is None:
        return row | {"verdict": "failed", "reasons": outcome.reason}, units
    row |= {"verdict": document["verdict"], "reasons": " ".join(document["verdict_reasons"])}
    row |= {"rms_log10": document["fit"]["rms_log10"], "reduced_chi2": document["fit"]["reduced_chi2"]}
    row["mode_weights"] = " ".join(f"{mode['weight']:.3f}" for mode in document["modes"])
    best, parameters = document["modes"][0], document["parameters"]
    row |= {"effective_draws": best["effective_draws"], "pareto_k": best["pareto_k"], "known_to": best["known_to_A"]}
    row["undetermined"] = " ".join(name for name, own in parameters.items() if not own["determined"])
    units["known_to"] = "Å"
    kinds = ((document["derived"], "interval_68", DERIVED_ENDS), (parameters, "interval_90", PARAMETER_ENDS))
    for found, interval, ends in kinds:
        for name, own in found.items():
            names = (name, *(name + end for end in ends))
            row |= zip(names, (own["value"], *(own[interval] or (None, None))), strict=True)
            units |= dict.fromkeys(names, own["unit"])
    return row, units


def _numbers(texts: Sequence[str]) -> list[Any]:
    """Numbers, if all that is given are; None where nothing is."""
    try:
        return [float(text) if text else None for text in texts]
    except ValueError:
        return [text or None for text in texts]
