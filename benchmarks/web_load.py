"""Many users at once on loopback: how soon a moved slider's curve is there while inversions run, and that all is right.

A server of its own, as `strainscope serve` starts it. Users upload the example and move sliders as the page does: each
has one request at a time under way, with the latest values, and pauses PAUSE_S after every curve. Other sessions invert
the example meanwhile. Right are curves that agree with those that this process simulates, and inversions whose maximum
strain is the example's.

Run: python -m benchmarks.web_load [--users 20] [--inversions 5] [--seconds 60]
"""

import argparse
import json
import math
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import numpy as np

from strainscope.sample import load_sample
from strainscope.web.live import LiveModel

EXAMPLE = Path(__file__).parents[1] / "examples/ggg444-simulated.xy"
ASK = {"sample": "ggg444", "intensity": "counts"}
MOST_MS, PAUSE_S = 250.0, 0.1
# Of the example, and how near an inversion has to come.
MAXIMUM_STRAIN, NEAR = 0.01325, 2e-3
# Kernels that a process compiled itself and those that it found compiled round differently.
AGREED = 1e-9
# Curves of each user that are simulated again.
CHECKED = 5
PATIENCE_S = 1800


@dataclass(kw_only=True)
class Found:
    """What users and inversions came to; threads append.

    Attributes:
        times_ms: From a move to its curve.
        server_ms: What the server itself needed for it.
        curves: Values and the curve that came, some of each user's.
        failures: What went wrong, in words.
        strains: Maximum strains of the inversions.
        inverted_s: When each inversion was done.
    """

    times_ms: list[float] = field(default_factory=list)
    server_ms: list[float] = field(default_factory=list)
    curves: list[tuple[dict[str, float], list[float]]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    strains: list[float] = field(default_factory=list)
    inverted_s: list[float] = field(default_factory=list)


def main() -> int:
    """Load a server, say how it bore it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.web_load", description=__doc__)
    parser.add_argument("--users", type=int, default=20)
    parser.add_argument("--inversions", type=int, default=5)
    parser.add_argument(
        "--seconds", type=float, default=60.0, help="that the users move sliders at least (60)"
    )
    given = parser.parse_args()
    found = Found()
    with tempfile.TemporaryDirectory() as data:
        server, place = start(Path(data))
        try:
            load(place, given.users, given.inversions, given.seconds, found)
        finally:
            server.send_signal(signal.SIGINT)
            code = server.wait(timeout=60)
    check_curves(found)
    report(found, given.users, given.inversions)
    p95 = quantile(found.times_ms, 0.95)
    right = not found.failures and code == 0 and len(found.strains) == given.inversions
    return 0 if right and p95 < MOST_MS else 1


def start(data: Path) -> tuple[subprocess.Popen, str]:
    """A server on a free port, and its address."""
    command = [
        sys.executable,
        "-m",
        "strainscope",
        "serve",
        "--port",
        "0",
        "--no-browser",
        "--data",
        str(data),
    ]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    return server, re.match(r"(http://\S+?)[; ]", server.stdout.readline())[1]


def load(place: str, users: int, inversions: int, seconds: float, found: Found) -> None:
    """Have users move sliders for so long, and until all inversions are done."""
    done = threading.Event()
    movers = [threading.Thread(target=guarded, args=(move, place, i, done, found)) for i in range(users)]
    for thread in movers:
        thread.start()
    began = time.monotonic()
    inverters = [
        threading.Thread(target=guarded, args=(invert, place, i, done, found)) for i in range(inversions)
    ]
    for thread in inverters:
        thread.start()
    for thread in inverters:
        thread.join()
    time.sleep(max(0.0, seconds - (time.monotonic() - began)))
    done.set()
    for thread in movers:
        thread.join()


def guarded(work, place: str, i: int, done: threading.Event, found: Found) -> None:
    """A user's work; what stops it is a failure."""
    try:
        with httpx2.Client(base_url=place, timeout=120) as client:
            page = client.get("/")
            page.raise_for_status()
            reply = client.post("/api/scans", files={"file": (EXAMPLE.name, EXAMPLE.read_bytes())})
            reply.raise_for_status()
            work(client, reply.json()["scan"], i, done, found)
    except Exception as error:
        found.failures.append(f"{work.__name__} {i}: {type(error).__name__}: {error}")


def move(client: httpx2.Client, scan: str, i: int, done: threading.Event, found: Found) -> None:
    """One user: a slider to and fro, the curve awaited, a short pause, again."""
    rng = np.random.default_rng(i)
    # The first curve of a session prepares its scan; no slider is there before it.
    client.post("/api/simulate", json=ASK | {"scan": scan}).raise_for_status()
    number = 0
    while not done.is_set():
        phase = 2 * math.pi * number / 40
        values = {"Dmax1": 0.013 + 0.004 * math.sin(phase), "L1": 5000 + float(rng.uniform(-500, 500))}
        began = time.perf_counter()
        reply = client.post("/api/simulate", json=ASK | {"scan": scan, "values": values})
        found.times_ms.append(1000 * (time.perf_counter() - began))
        if reply.status_code != 200:
            found.failures.append(f"move {i}: {reply.status_code}: {reply.text[:200]}")
            return
        own = json.loads(reply.content)
        found.server_ms.append(own["server_ms"])
        if number < CHECKED:
            found.curves.append((own["values"], own["intensity"]))
        number += 1
        time.sleep(PAUSE_S)


def invert(client: httpx2.Client, scan: str, i: int, done: threading.Event, found: Found) -> None:
    """One inversion, awaited."""
    began = time.monotonic()
    reply = client.post("/api/jobs", json=ASK | {"scan": scan, "seed": i})
    reply.raise_for_status()
    job = reply.json()["job"]
    while time.monotonic() - began < PATIENCE_S:
        own = client.get(f"/api/jobs/{job}").json()
        if own["state"] not in ("waiting", "running"):
            break
        time.sleep(1)
    if own["state"] != "done":
        found.failures.append(f"invert {i}: {own['state']}: {own['error']}")
        return
    strain = client.get(f"/api/jobs/{job}/result").json()["maximum_strain"]
    if abs(strain / MAXIMUM_STRAIN - 1) > NEAR:
        found.failures.append(f"invert {i}: maximum strain {strain:.5f}, not {MAXIMUM_STRAIN}")
    found.strains.append(strain)
    found.inverted_s.append(time.monotonic() - began)


def check_curves(found: Found) -> None:
    """Simulate again what came, here."""
    sample = load_sample("ggg444").with_options(intensity="counts")
    model = LiveModel(sample, sample.read_scan(EXAMPLE))
    for values, curve in found.curves:
        free = {name: value for name, value in values.items() if name != "background_slope"}
        if not np.allclose(model.curve(free).expected, curve, rtol=AGREED, atol=0):
            found.failures.append(f"another curve than here with Dmax1 = {values['Dmax1']:.6g}")


def quantile(times: list[float], share: float) -> float:
    """NaN where there are none."""
    return float(np.quantile(times, share)) if times else math.nan


def report(found: Found, users: int, inversions: int) -> None:
    """Print what came out."""
    load_average = ", ".join(f"{own:.1f}" for own in os.getloadavg())
    print(f"{users} users, {len(found.times_ms)} curves, {len(found.curves)} of them simulated again")
    for name, times in (("move to curve", found.times_ms), ("of it in the server", found.server_ms)):
        p50, p95 = quantile(times, 0.5), quantile(times, 0.95)
        print(f"{name:<20} p50 {p50:.0f} ms, p95 {p95:.0f} ms, most {max(times, default=math.nan):.0f} ms")
    if found.inverted_s:
        print(
            f"{len(found.strains)} of {inversions} inversions, median {statistics.median(found.inverted_s):.0f} s"
        )
    print(f"load average of the machine {load_average}")
    print(f"{len(found.failures)} failures")
    for line in found.failures[:20]:
        print(f"  {line}")


if __name__ == "__main__":
    sys.exit(main())
