"""How long does `import lab_utils_mt.socket_comm` take?

Fresh processes that import a module, and as many that import nothing, in turns; the figures are
medians; their difference is what the import costs. ``wall`` is from the start of a process until
it says that it is done, ``cpu`` what it has used of the processor by then. All find their compiled
bytecode, as after an installation, in the cache of the disk. ``drivers`` counts modules of a
database driver that the import has loaded.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from functools import partial
from importlib.util import find_spec
from pathlib import Path

from benchmarks.house.original import original_folder
from benchmarks.house.peer import MissingPeer
from benchmarks.house.question import Bar, Case, Plot, Size

HERE = Path(__file__).parents[2]
OURS = "lab_utils_mt.socket_comm"
# What a lab's program imports first; the name of the distribution for `pip install`.
MODULES = {
    OURS: "lab_utils_mt",
    "lab_utils_mt.commands": "lab_utils_mt",
    "lab_utils_mt.database": "lab_utils_mt",
    "lab_utils.socket_comm": "lab_utils",
    "socketserver": "Python",
    "rpyc": "rpyc",
    "Pyro5.api": "Pyro5",
    "frappy.core": "frappy-core",
    "aiokatcp": "aiokatcp",
    "tango.server": "pytango",
    "qmi.core.rpc": "qmi",
}
PAIRS = 25
ROUND = f"{PAIRS} processes that import, and as many that do not"
TELL = """
import sys, time
{statement}
drivers = sum(name.startswith("psycopg2") for name in sys.modules)
print(time.process_time(), drivers, flush=True)
"""


def cases(size: Size) -> list[Case]:
    """Measure each module beside bare Python."""
    count = size.pick(PAIRS, 1)
    return [Case({"module": one}, partial(measure, one, count)) for one in MODULES]


BARS = [
    Bar(
        "less than 60 ms more than bare Python",
        figure="more_wall_ms",
        of={"module": OURS},
        at_most=60.0,
    ),
    Bar("without the database driver", figure="drivers", of={"module": OURS}, at_most=0.0),
]
PLOTS = [
    Plot(
        "more_wall_ms",
        x="module",
        line=None,
        title="Import, beside bare Python",
        y_label="ms",
        kind="bars",
    )
]


def measure(module: str, count: int) -> dict[str, float]:
    """Import a module in ``count`` processes, in turns with as many that import nothing."""
    environment = variables(module)
    bare, full = [], []
    with tempfile.TemporaryDirectory() as folder:
        environment["PYTHONPYCACHEPREFIX"] = folder
        for _ in range(2):  # compile, then fill the cache of the disk
            one_process(f"import {module}", environment)
            one_process("pass", environment)
        for _ in range(count):
            bare.append(one_process("pass", environment))
            full.append(one_process(f"import {module}", environment))
    bare_wall, bare_cpu, _ = map(statistics.median, zip(*bare, strict=True))
    wall, cpu, drivers = map(statistics.median, zip(*full, strict=True))
    return {
        "more_wall_ms": wall - bare_wall,
        "more_cpu_ms": cpu - bare_cpu,
        "bare_wall_ms": bare_wall,
        "bare_cpu_ms": bare_cpu,
        "drivers": drivers,
    }


def variables(module: str) -> dict[str, str]:
    """Return the environment in which the module is found.

    Raises:
        MissingPeer: It is not installed.
    """
    environment = dict(os.environ)
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    package = module.partition(".")[0]
    if package == "lab_utils":
        paths = [original_folder(), environment.get("PYTHONPATH", "")]
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    elif find_spec(package) is None:
        raise MissingPeer(f"{MODULES[module]} is not installed: python -m pip install '.[bench]'")
    return environment


def one_process(statement: str, environment: dict[str, str]) -> tuple[float, float, float]:
    """Return wall ms, CPU ms, and the number of driver modules of a process."""
    command = [sys.executable, "-W", "ignore", "-c", TELL.format(statement=statement)]
    began = time.perf_counter()
    with subprocess.Popen(command, env=environment, cwd=HERE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        told = process.stdout.readline()
        wall = time.perf_counter() - began
    if not told:
        raise RuntimeError(f"a process that should {statement} ended without a word")
    cpu, drivers = told.split()
    return 1000 * wall, 1000 * float(cpu), float(drivers)
