"""Starting: imports and commands as whole processes."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tables import ROOT, aligned, significant

from speed.family import NEWTRON, Contender, Family, Measurement, Problem, Record, Round, Size
from speed.timing import timed

BARE, NUMPY, SKLEARN = "python -c pass", "import numpy", "from sklearn.linear_model import LinearRegression"
HELP, IMPORT = "newtron --help", NEWTRON
LONGEST = 60.0
MORE_THAN_NUMPY, HELP_SECONDS = 0.15, 0.5
PROGRAMS = {
    IMPORT: ["-c", "import newtron"],
    BARE: ["-c", "pass"],
    NUMPY: ["-c", NUMPY],
    "from newtron import PerceptronRegressor": ["-c", "from newtron import PerceptronRegressor"],
    SKLEARN: ["-c", SKLEARN],
    "import torch": ["-c", "import torch"],
    HELP: ["-m", "newtron", "--help"],
    "newtron show --help": ["-m", "newtron", "show", "--help"],
    "newtron fit examples/penguins.csv --target species": [
        "-m",
        "newtron",
        "fit",
        str(ROOT / "examples" / "penguins.csv"),
        "--target",
        "species",
    ],
}

WORDS = """\
Whole processes, in turn; the fit of the example reads the file, trains a perceptron and networks, and writes a model.
"""


class Benchmarks(Family):
    name, title = "start", "Starting up"

    def problems(self, size: Size) -> list[Problem]:
        return [Problem("processes", "processes")]

    def small(self) -> list[Problem]:
        return self.problems(Size())

    def contenders(self, problem: Problem) -> list[Contender]:
        return [Contender(name, ("torch",) if "torch" in name else ()) for name in PROGRAMS]

    def limit(self, size: Size, ours: list[Measurement] | None) -> float:
        return LONGEST

    def prepare(self, problem: Problem, contender: str, size: Size) -> Round:
        command = [sys.executable, *PROGRAMS[contender]]
        # newtron alone: of the worker's own path the benchmarks are no part.
        source = os.environ["PYTHONPATH"].split(os.pathsep)[0]
        environment = os.environ | {"PYTHONPATH": source}

        def work() -> None:
            with tempfile.TemporaryDirectory() as folder:
                subprocess.run(command, cwd=Path(folder), env=environment, capture_output=True, check=True)

        work()
        return lambda number, limit: Measurement(seconds=timed(work)[0])

    def section(self, records: dict[str, Record]) -> str:
        from speed.report import Claim, middle, seconds, spread, verdict

        record = records["processes"]
        bare, numpy = (middle(seconds(record, name)) for name in (BARE, NUMPY))
        rows = []
        for name, found in record["contenders"].items():
            taken = 1e3 * seconds(record, name)
            if not len(taken):
                rows.append([f"`{name}`", *[""] * 3, found["status"]])
                continue
            beyond = [f"{middle(taken) - 1e3 * base:+.0f}" for base in (bare, numpy)]
            words = "import newtron" if name == IMPORT else name
            rows.append([f"`{words}`", significant(middle(taken), 3), spread(taken), *beyond])
        beyond_numpy = middle(seconds(record, IMPORT)) - numpy
        targets = [
            verdict(
                f"`import newtron` at most {MORE_THAN_NUMPY:g} s beyond `import numpy`",
                [Claim("s beyond", beyond_numpy, MORE_THAN_NUMPY)],
            ),
            verdict(
                f"`newtron --help` under {HELP_SECONDS:g} s", [Claim("s", middle(seconds(record, HELP)), HELP_SECONDS)]
            ),
        ]
        titles = ["process", "ms", "least - most", "beyond bare Python", "beyond import numpy"]
        return "\n\n".join([WORDS, aligned(titles, rows), *targets])
