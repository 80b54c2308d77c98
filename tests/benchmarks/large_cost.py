"""What a large experiment costs from its file to the verdict, all processes together.

    python -m tests.benchmarks.large_cost [Q,ANGLES,FRAMES [OPTION ...]]

Simulates speckle of a laminar flow (500 pixels a bin, 2 photons a pixel and frame) at Q
wavevectors, ANGLES azimuths each, for FRAMES frames, by default 4,23,1000, into one file of the
APS-U format in bench/, or takes the one that is there. Then a process of its own fits it as a user
would, with ``--q all`` and the OPTIONs of ``homodyne-bayes fit``; without any on
``--cluster local:2``. Prints wall and CPU seconds, the largest sum of the memory of all processes,
the seconds of the stages and the verdict.
Nothing compiled before is used.
"""

import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import jax
import numpy as np
import psutil

import homodyne_bayes as hb
from homodyne_bayes.data.writing import write_aps_u
from homodyne_bayes.model_files import MODELS
from homodyne_bayes.physics import simulate
from tests.truth import LAMINAR

FOLDER = Path("bench")
SMALLEST_Q, LARGEST_Q = 0.004, 0.008  # 1/Å
NUM_PIXELS, MEAN_PHOTONS = 500, 2.0
DURATION = 8.0  # s
LOOKS = 0.1  # s between two looks at the memory


def simulated(num_q, num_angles, num_frames):
    """Return the path of a file of so many wavevectors, angles and frames."""
    path = FOLDER / f"large_{num_q}_{num_angles}_{num_frames}.h5"
    if path.exists():
        return path
    FOLDER.mkdir(exist_ok=True)
    phi, dt = np.linspace(-90.0, 80.0, num_angles), DURATION / num_frames
    singles = []
    for i, q in enumerate(np.linspace(SMALLEST_Q, LARGEST_Q, num_q)):
        experiment = simulate.Experiment(
            MODELS["laminar_flow"], tuple(phi.tolist()), num_frames, LAMINAR, q=q, dt=dt
        )
        single = simulate.speckle(jax.random.key(i), experiment, NUM_PIXELS, MEAN_PHOTONS)
        singles.append((single.c2.astype(np.float32), q))
    data = hb.TwoTimeData(
        np.concatenate([c2 for c2, _ in singles]),
        np.tile(phi, num_q),
        dt,
        np.repeat([q for _, q in singles], num_angles),
        single.gap,
    )
    write_aps_u(path, data)
    return path


def memory(process):
    """Return the memory of a process and of all that it started, bytes."""
    total = 0
    for one in (process, *process.children(recursive=True)):
        try:
            total += one.memory_info().rss
        except psutil.NoSuchProcess:  # it has ended since it was listed
            continue
    return total


def peak_of(process):
    """Return the largest memory of a process while it runs, bytes, looked at again and again."""
    peak = 0
    watched = psutil.Process(process.pid)
    while process.poll() is None:
        try:
            peak = max(peak, memory(watched))
        except psutil.NoSuchProcess:
            break
        time.sleep(LOOKS)
    return peak


def fitted(path, options):
    """Fit a file by the command line, and print what it took."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "result.nc"
        call = [sys.executable, "-c", "from homodyne_bayes.cli.main import main; main()", "fit"]
        call += [str(path), "--q", "all", "--out", str(out), *options]
        environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": folder}
        began = time.perf_counter()
        with subprocess.Popen(call, env=environment) as process:
            peaks = []
            watch = threading.Thread(target=lambda: peaks.append(peak_of(process)))
            watch.start()
            process.wait()
            watch.join()
        wall = time.perf_counter() - began
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        if process.returncode:
            raise SystemExit(f"the fit ended with {process.returncode}")
        result = hb.load(out)
    stages = json.loads(result.tree.attrs["seconds"])
    cpu = used.ru_utime + used.ru_stime
    print(f"{path.name} {' '.join(options)}")
    print(f"wall {wall:.0f} s, CPU {cpu:.0f} s, {peaks[0] / 2**30:.2f} GiB")
    print(", ".join(f"{stage} {seconds:.0f} s" for stage, seconds in stages.items()))
    print("certified" if result.certified else f"not certified: {result.faults}")


if __name__ == "__main__":
    hb.setup()
    size, *options = sys.argv[1:] or ["4,23,1000"]
    file = simulated(*map(int, size.split(",")))
    fitted(file, options or ["--cluster", "local:2"])
