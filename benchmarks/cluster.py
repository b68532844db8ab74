"""What a cluster costs beside one machine: rates with one worker and two, units without work, the driver's own work.

Run with `python -m benchmarks.cluster`; it makes clusters of its own on this machine, with nodes of one processor. The
efficiency from one worker to two means something where two processors are idle and may be used: there the driver and
the head of the cluster still take part of both.
"""

import json
import math
import operator
import os
import tempfile
import time
from pathlib import Path

from benchmarks import cases
from strainscope.cluster import connected, done_units
from strainscope.dataset.generate import generate
from strainscope.dataset.plan import load_plan
from strainscope.dataset.store import Dataset
from strainscope.diffraction.engine import worker_count
from strainscope.sample import load_sample
from strainscope.series import Job
from strainscope.series.run import _fingerprint, _settings_with_files

# Whole shards for each of two workers, in the smaller dataset and in the larger.
PLAN, SHARD = "balanced-1m", 16_384
WARM, SIZE = 2 * SHARD, 10 * SHARD
EMPTY_UNITS = 2_000
MEMORY = 80 * 2**20


def rate(folder: Path, name: str, ray: str | None) -> float:
    """Curves a second on the disk, once workers have started: a larger dataset less a smaller one."""
    seconds = []
    for size in (WARM, SIZE):
        began = time.perf_counter()
        workers = 1 if ray is None else None
        generate(load_plan(PLAN, size=size), folder / f"{name}-{size}.zarr", ray=ray, workers=workers)
        seconds.append(time.perf_counter() - began)
    return (SIZE - WARM) / (seconds[1] - seconds[0])


def same(folder: Path, *names: str) -> bool:
    """Whether datasets have the same bytes."""
    found = []
    for name in names:
        place = folder / f"{name}-{SIZE}.zarr"
        found.append({str(p.relative_to(place)): p.read_bytes() for p in place.rglob("*") if p.is_file()})
    return all(own == found[0] for own in found)


def series_figures(folder: Path) -> dict[str, float]:
    """What the driver does for each scan, and for a state of a million."""
    sample = load_sample("ggg444").with_options(axis="delta-theta-arcsec")
    values = sample.simulated_values({"Dmax1": 0.008, "D01": 0.002, "D02": 0.002}, counts=1e5)
    scan, _ = sample.simulate(values, counts=1e5, seed=0, span=(-3000, 300), step=4.7)
    path = folder / "s.xy"
    path.write_text("\n".join(f"{x} {y}" for x, y in zip(scan.angle, scan.intensity, strict=True)))
    job = Job(sample="ggg444", axis="delta-theta-arcsec", intensity="counts")
    about = _settings_with_files(job)
    began = time.perf_counter()
    for _ in range(200):
        key = _fingerprint(path, job, about)
    fingerprint = (time.perf_counter() - began) / 200
    keys = {f"scan-{number:07d}": key for number in range(10**6)}
    began = time.perf_counter()
    text = json.dumps({"results": keys}, indent=1)
    (folder / "series.json").write_text(text)
    written = time.perf_counter() - began
    return {
        "fingerprint_ms": 1e3 * fingerprint,
        "state_of_a_million_s": written,
        "state_of_a_million_mb": len(text) / 1e6,
        "scan_bytes": path.stat().st_size,
    }


def run() -> dict[str, float]:
    """Figures by name."""
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}
    from ray.cluster_utils import Cluster

    figures: dict[str, float] = {"processors": worker_count()}
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        head = {"num_cpus": 0, "include_dashboard": False, "object_store_memory": MEMORY}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        try:
            figures["alone"] = rate(folder, "alone", None)
            cluster.add_node(num_cpus=1, object_store_memory=MEMORY)
            figures["one"] = rate(folder, "one", cluster.address)
            with connected(cluster.address):
                list(done_units(operator.is_, None, range(100)))
                began = time.perf_counter()
                list(done_units(operator.is_, None, range(EMPTY_UNITS)))
                figures["empty_units_a_second"] = EMPTY_UNITS / (time.perf_counter() - began)
            if figures["processors"] > 1:
                cluster.add_node(num_cpus=1, object_store_memory=MEMORY)
                figures["two"] = rate(folder, "two", cluster.address)
                assert same(folder, "alone", "two")
            assert same(folder, "alone", "one")
        finally:
            cluster.shutdown()
        stored = Dataset(folder / f"one-{SIZE}.zarr")
        figures["bytes_a_curve"] = stored.place.size() / stored.size
        figures |= series_figures(folder)
    return figures


def model(figures: dict[str, float]) -> list[str]:
    """What a billion curves cost if every worker is as fast as one of two, or as the one where there was no second."""
    curves, each = 1e9, figures["two"] / 2 if "two" in figures else figures["one"]
    most = figures["empty_units_a_second"] * SHARD / each
    shards, terabytes = math.ceil(curves / SHARD), curves * figures["bytes_a_curve"] / 1e12
    return [
        f"1e9 curves: {shards:,} shards, {curves / each / 3600:,.0f} core-hours, {terabytes:.2f} TB, "
        f"{1e-6 * each * figures['bytes_a_curve']:.1f} MB/s for each processor",
        f"the driver hands out what {most:,.0f} processors need",
    ]


def report(figures: dict[str, float]) -> None:
    """Prints them."""
    print(f"{PLAN}, {SIZE - WARM:,} curves on the disk, the same bytes:")
    print(f"  this machine alone, one worker   {figures['alone']:8,.0f} curves/s")
    ratio = figures["one"] / figures["alone"]
    print(f"  a cluster, one worker            {figures['one']:8,.0f} curves/s, {ratio:.2f} of that")
    if "two" in figures:
        efficiency = figures["two"] / figures["one"] / 2
        print(f"  a cluster, two workers           {figures['two']:8,.0f} curves/s, efficiency {efficiency:.2f}")
    else:
        print("  a cluster, two workers           not measured: this process may use one processor; give it two")
    print(f"units without work: {figures['empty_units_a_second']:,.0f} a second")
    print(f"a curve: {figures['bytes_a_curve']:,.0f} bytes")
    for line in model(figures):
        print(line)
    print(
        f"series: {figures['fingerprint_ms']:.1f} ms a scan before anything is inverted; the state of a million scans "
        f"{figures['state_of_a_million_mb']:.0f} MB, {figures['state_of_a_million_s']:.1f} s to write"
    )


if __name__ == "__main__":
    print(cases.machine())
    report(run())
