"""Readers of instruments' files under atheris, which looks for inputs that reach code not reached before.

    python -m pip install atheris
    python -m benchmarks.fuzz_readers xrdml --seconds 60

Ends with an error at the first input that raises anything but a ValueError, warns, or takes more than five seconds.
HDF5 is left out: its library is C, and what it does to damaged files is kept in a process of its own.
"""

import argparse
import importlib
import sys
import tempfile
import warnings
from pathlib import Path

from tests.unit.test_reader_fuzz import SEEDS

# Module and function of each reader, and the files that it begins from.
READERS = {
    "xrdml": ("xrdml", "read_xrdml", ["a.xrdml"]),
    "brml": ("brml", "read_brml", ["a.brml"]),
    "raw": ("bruker_raw", "read_raw", ["three.raw", "four.raw"]),
    "ras": ("rigaku", "read_ras", ["a.ras"]),
    "rasx": ("rigaku", "read_rasx", ["a.rasx"]),
    "spec": ("spec", "read_spec", ["a.spec"]),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("format", choices=READERS)
    parser.add_argument("--seconds", type=int, default=60)
    options = parser.parse_args()
    import atheris

    module, name, seeds = READERS[options.format]
    for loaded in [own for own in sys.modules if own.startswith("strainscope.readers")]:
        del sys.modules[loaded]
    with atheris.instrument_imports(include=["strainscope.readers", "zipfile", "xml"]):
        read = getattr(importlib.import_module(f"strainscope.readers.{module}"), name)
    warnings.simplefilter("error")

    def one(content):
        try:
            for scan in read(content):
                scan.document()
                if scan.axes():
                    scan.scan(name="x")
        except ValueError:
            pass

    with tempfile.TemporaryDirectory() as folder:
        for seed in seeds:
            (Path(folder) / seed).write_bytes(SEEDS[seed])
        limits = ["-timeout=5", "-rss_limit_mb=3000", f"-max_total_time={options.seconds}"]
        atheris.Setup([sys.argv[0], *limits, folder], one)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
