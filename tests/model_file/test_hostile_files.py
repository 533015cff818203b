"""Data files that are damaged, change while they are read, come through pipes or unfold, and outputs that are full: one
sentence, and nothing that is wrong or left behind."""

from __future__ import annotations

import gzip
import os
import pickle
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.command import as_program, command
from support.page import file_answer

from newtron import FileRows, PerceptronRegressor
from newtron.engine.base.errors import InputError
from newtron.engine.base.scratch import Folder
from newtron.play.session import MOST_FILE, Session
from newtron.table import read_table
from newtron.table.data_file import TooLargeError, data_file_of
from newtron.table.stamp import Stamp

ROOT = Path(__file__).resolve().parents[2]
BROKEN = sorted((ROOT / "tests" / "data" / "broken").iterdir())
PENGUINS = ROOT / "examples" / "penguins.csv"
LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux")
FIT = ("--target", "y", "--model", "perceptron", "--no-report")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(as_program(tmp_path_factory.mktemp("bin") / "newtron"))


def in_bash(line: str, folder: Path, program: str = "", **more: str) -> subprocess.CompletedProcess[str]:
    """A line of bash in which the command is called $N: this program, or Python that starts anew."""
    start = {"PYTHONPATH": str(ROOT / "src"), "N": program or f"{sys.executable} -m newtron"}
    environment = {**os.environ, **start, **more}
    return subprocess.run(
        ["bash", "-c", line], capture_output=True, text=True, timeout=120, env=environment, cwd=folder
    )


def one_sentence(done: subprocess.CompletedProcess[str], code: int = 2) -> str:
    assert done.returncode == code, (done.returncode, done.stderr)
    assert done.stderr.startswith("newtron: ")
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


# --- damage ---

READ = """
import sys, warnings
warnings.simplefilter("ignore")
from newtron import FileRows
from newtron.engine.base.errors import InputError
from newtron.play.session import Session
from newtron.table import read_table
for path in sys.argv[1:]:
    for read in (read_table, lambda path: FileRows(path, "y", memory=32e6)):
        try:
            read(path)
            print("read", flush=True)
        except InputError as error:
            print(error, flush=True)
    print(Session().open(path, open(path, "rb").read()).get("error", "read"), flush=True)
"""


@pytest.mark.slow
def test_damaged_files_are_told() -> None:
    """In memory, in a stream and on the page: in a process of its own, because some make users of pyarrow crash."""
    paths = [str(path) for path in BROKEN]
    done = subprocess.run([sys.executable, "-c", READ, *paths], capture_output=True, text=True, timeout=120)
    sentences = done.stdout.splitlines()
    assert done.returncode == 0, (sentences[-1:], done.stderr)
    assert len(sentences) == 3 * len(paths)
    for number, sentence in enumerate(sentences):
        assert sentence.startswith(f"{paths[number // 3]}: ")
        # A stream of Arrow is read at once only.
        assert "damaged" in sentence or (number % 3 == 1 and "neither a Parquet nor an Arrow file" in sentence)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["arrow_segfault_1.arrow", "arrow_traceback.arrow", "47641dec.parquet"])
def test_the_command_says_that_a_file_is_damaged(name: str, tmp_path: Path) -> None:
    path = ROOT / "tests" / "data" / "broken" / name
    assert "damaged" in one_sentence(command("fit", path, *FIT, cwd=tmp_path))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("kind", ["arrow", "parquet"])
def test_text_that_is_not_utf8_in_the_middle_of_a_stream(kind: str, tmp_path: Path) -> None:
    words = pa.array([b"red", b"blue"] * 300 + [b"\xff\xfe"] * 2).cast(pa.binary())
    words = pa.Array.from_buffers(pa.string(), len(words), words.buffers())
    table = pa.table({"word": words, "y": np.arange(602.0)})
    path = tmp_path / f"d.{kind}"
    if kind == "arrow":
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as out:
            out.write_table(table, max_chunksize=100)
    else:
        pq.write_table(table, path, row_group_size=100)
    for read in (read_table, lambda path: FileRows(path, "y", memory=32e6)):
        with pytest.raises(InputError, match="damaged or cut short"):
            read(path)


@pytest.mark.slow
@pytest.mark.parametrize("stamps", [[2**62, 2**62 + 5], [1_700_000_000_000_000_001, 1_700_000_000_000_000_001]])
@pytest.mark.parametrize("unit", ["us", "ns"])
def test_dates_that_python_does_not_know(stamps: list[int], unit: str, tmp_path: Path) -> None:
    path = tmp_path / "d.parquet"
    day = pa.array(stamps * 50, pa.int64()).cast(pa.timestamp(unit))
    pq.write_table(pa.table({"day": day, "x": np.arange(100.0), "y": np.arange(100.0) ** 2}), path)
    assert command("fit", path, *FIT, cwd=tmp_path).returncode == 0
    assert "x" in FileRows(path, "y", memory=32e6).schema.feature_names


# --- change ---


def arrow_file(path: Path, table: pa.Table) -> Path:
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as out:
        out.write_table(table)
    return path


def test_what_is_in_memory_is_not_the_file(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=5000)
    path = arrow_file(tmp_path / "d.arrow", pa.table({"x": x, "y": x}))
    table = read_table(path)
    with open(path, "r+b") as file:
        file.write(bytes(path.stat().st_size))
    assert np.array_equal(table.column("x").to_numpy(), x)
    os.truncate(path, 100)
    assert np.array_equal(table.column("y").to_numpy(), x)


@pytest.mark.parametrize("kind", ["arrow", "parquet"])
def test_one_cell_that_changes_while_the_times_are_set_back(kind: str, tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(200_000, 2))
    table = pa.table({"x": x[:, 0], "y": x[:, 1]})
    path = tmp_path / f"d.{kind}"
    if kind == "arrow":
        arrow_file(path, table)
    else:
        pq.write_table(table, path, compression="none", use_dictionary=False)
    rows = FileRows(path, "y", memory=32e6)
    before = path.stat()
    raw = path.read_bytes()
    at = raw.index(x[70_001, 0].tobytes())

    def spoil(progress: Any) -> None:
        if progress.row.iteration == 1:
            with open(path, "r+b") as file:
                file.seek(at)
                file.write(np.float64(3.0).tobytes())
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    model = PerceptronRegressor(solver="lbfgs", callback=spoil)
    with pytest.raises(InputError, match="has changed while it was read"):
        model.fit_rows(rows)
    assert not hasattr(model, "coef_")


def test_the_last_pass_tells_of_a_change_too(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=1000)
    path = tmp_path / "d.parquet"
    pq.write_table(pa.table({"x": x, "y": x}), path)
    rows = FileRows(path, "y", memory=32e6)
    reading = rows.source.read([0])
    next(reading)
    pq.write_table(pa.table({"x": x, "y": -x}), path)
    with pytest.raises(InputError, match="has changed"):
        list(reading)


def test_by_what_a_file_is_known(tmp_path: Path) -> None:
    path = tmp_path / "d"
    path.write_bytes(np.random.default_rng(0).bytes(1_000_000))
    stamp = Stamp.of(str(path))
    travelled = pickle.loads(pickle.dumps(stamp))
    path.chmod(0o600)
    os.link(path, tmp_path / "other name")
    assert stamp.fits(str(path))
    assert travelled.fits(str(path))
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    copied = path.read_bytes()
    path.unlink()
    path.write_bytes(copied)
    os.utime(path, ns=times)
    assert stamp.fits(str(path)), "a copy with the same times and content"
    path.write_bytes(bytes(1_000_000))
    os.utime(path, ns=times)
    assert not stamp.fits(str(path))
    assert not travelled.fits(str(path))


def test_a_file_that_grows_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log.csv"
    path.write_text("a,y\n1,2\n")
    from newtron.table import data_file

    def growing(file: Any) -> Any:
        with open(path, "a") as log:
            log.write("3,4\n")
        return file

    monkeypatch.setattr(data_file, "unpacked", growing)
    with pytest.raises(InputError, match="has changed while it was read"):
        read_table(path)


# --- pipes ---


@pytest.mark.slow
@LINUX
def test_every_way_into_the_command_gives_the_same(program: str, tmp_path: Path) -> None:
    lines = {
        "file": f"$N fit {PENGUINS} FIT",
        "stdin": f"cat {PENGUINS} | $N fit /dev/stdin FIT",
        "dash": f"$N fit - FIT < {PENGUINS}",
        "packed": f"gzip -c {PENGUINS} | $N fit - FIT",
        "substituted": f"$N fit <(cat {PENGUINS}) FIT",
        "pieces": f"gzip -c {PENGUINS} | $N fit - FIT --memory 32000001 --scratch .",
    }
    (tmp_path / "tmp").mkdir()
    for name, line in lines.items():
        words = f"--target species --alpha 1 --model perceptron --no-report --quiet --output {name}"
        # A substituted process is a stream of its own, which only a process of the shell has.
        given = "" if "<(" in line else program
        done = in_bash(line.replace("FIT", words), tmp_path, given, TMPDIR=str(tmp_path / "tmp"))
        assert (done.returncode, done.stderr) == (0, ""), name
    models = {name: (tmp_path / name).read_bytes() for name in lines}
    assert len(set(models.values())) == 1
    expected = command("predict", "file", PENGUINS, cwd=tmp_path).stdout
    assert len(expected.splitlines()) == 345
    for line in (f"cat {PENGUINS} | $N predict file -", f"$N predict file <(gzip -c {PENGUINS}) --memory 33MB"):
        assert in_bash(line, tmp_path, "" if "<(" in line else program).stdout == expected
    assert os.listdir(tmp_path / "tmp") == []


@pytest.mark.slow
@LINUX
@pytest.mark.parametrize("kind", ["parquet", "arrow", "stream"])
def test_binary_files_through_a_pipe(kind: str, program: str, tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=300)
    table, path = pa.table({"x": x, "y": 2 * x}), tmp_path / "d"
    if kind == "parquet":
        pq.write_table(table, path)
    else:
        new = pa.ipc.new_file if kind == "arrow" else pa.ipc.new_stream
        with pa.OSFile(str(path), "wb") as file, new(file, table.schema) as out:
            out.write_table(table)
    done = in_bash(f"cat d | $N fit - {' '.join(FIT)} --quiet && cat d | $N predict model.newtron -", tmp_path, program)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 301
    done = in_bash(f"cat d | $N fit - {' '.join(FIT)} --no-report", tmp_path, program)
    assert "Next:    newtron predict model.newtron -\n" in done.stdout


@pytest.mark.slow
@LINUX
def test_what_is_no_file_and_no_pipe(tmp_path: Path) -> None:
    assert "this is a device" in one_sentence(command("fit", "/dev/zero", *FIT, cwd=tmp_path))
    assert "is empty" in one_sentence(command("fit", "/dev/null", *FIT, cwd=tmp_path))
    assert "standard input" in one_sentence(command("fit", "-", *FIT, cwd=tmp_path, input=""))
    assert "standard input is closed" in one_sentence(in_bash(f"$N fit - {' '.join(FIT)} <&-", tmp_path))
    full = in_bash(f"ulimit -f 1; cat {PENGUINS} | $N fit - {' '.join(FIT)} --scratch .", tmp_path)
    assert "standard input: what it sends cannot be kept in ." in one_sentence(full)
    assert os.listdir(tmp_path) == []


# --- full outputs ---


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    words = ("--target", "strength_mpa", "--model", "perceptron", "--no-report", "--quiet", "--output", "m")
    assert command("fit", ROOT / "examples" / "concrete.csv", *words, cwd=folder).returncode == 0
    return folder / "m"


@pytest.mark.slow
@LINUX
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_output_that_is_cut_is_told(unbuffered: str, model: Path, program: str, tmp_path: Path) -> None:
    data = ROOT / "examples" / "concrete.csv"
    for words in (f"predict {model} {data}", f"show --json {model}", "fit --help"):
        for line in (f"$N {words} > /dev/full", f"ulimit -f 1; $N {words} > part"):
            anew = unbuffered or "ulimit" in line
            done = in_bash(line, tmp_path, "" if anew else program, PYTHONUNBUFFERED=unbuffered)
            if done.returncode == 0:  # what was to be written is not too long
                assert "full" not in line
                assert (tmp_path / "part").stat().st_size < 1024
                continue
            assert "space" in one_sentence(done)
    assert set(os.listdir(tmp_path)) == {"part"}


@pytest.mark.slow
@LINUX
def test_a_log_that_is_full_does_not_lose_the_work(program: str, tmp_path: Path) -> None:
    done = in_bash(f"$N fit {PENGUINS} --target species --model perceptron --no-report 2>/dev/full", tmp_path, program)
    assert done.returncode == 0
    assert (tmp_path / "model.newtron").exists()


# --- ended ---


@pytest.mark.slow
@LINUX
@pytest.mark.parametrize(("end", "code"), [("SIGTERM", 143), ("SIGHUP", 129), ("SIGKILL", -9)])
def test_nothing_is_left_of_a_process_that_is_ended(end: str, code: int, tmp_path: Path) -> None:
    path, scratch = tmp_path / "d.csv", tmp_path / "scratch"
    scratch.mkdir()
    path.write_text("a,b,y\n" + "".join(f"{i},{i % 7},{i % 10}.5\n" for i in range(2_000_000)))
    words = ("fit", path, *FIT, "--memory", "33MB", "--scratch", scratch)
    command = [sys.executable, "-m", "newtron", *map(str, words)]
    # Under nohup SIGHUP is ignored, which a child inherits and newtron respects.
    heard = partial(signal.signal, getattr(signal, end), signal.SIG_DFL) if end != "SIGKILL" else None
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=tmp_path, preexec_fn=heard)
    deadline = time.monotonic() + 60
    while not any(file.stat().st_size > 1000 for file in scratch.glob("*/text.arrow")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(getattr(signal, end))
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code
    if end == "SIGKILL":
        assert len(os.listdir(scratch)) == 1
        kept = Folder(str(scratch))
        assert os.listdir(scratch) == [Path(kept.name).name], "what the killed process left is cleared"
        Folder(str(scratch)).cleanup()
        assert os.listdir(scratch) == [Path(kept.name).name], "what a living process holds is not"
        kept.cleanup()
    else:
        assert errors.splitlines()[-1] == f"newtron: ended by {end} before it was done."
    assert os.listdir(scratch) == []
    assert sorted(os.listdir(tmp_path)) == ["d.csv", "scratch"]


# --- what unfolds ---


def bomb(rows: int) -> bytes:
    return gzip.compress(b"a,y\n" + b"1,2\n2,4\n3,6\n4,7\n" * (rows // 4))


def test_the_page_counts_what_is_unpacked() -> None:
    content = bomb(MOST_FILE // 4 + 4)
    assert len(content) < 1_000_000
    assert "too much to be read into memory at once" in file_answer(Session(), "bomb.csv.gz", content)["error"]
    assert file_answer(Session(), "fine.csv.gz", bomb(1000))["file"]["rows"] == 1000


def test_a_limit_is_of_unpacked_bytes(tmp_path: Path) -> None:
    path = tmp_path / "d.csv.gz"
    path.write_bytes(bomb(100_000))
    with pytest.raises(TooLargeError, match=r"d\.csv\.gz: its content takes more than 0"):
        read_table(path, limit=399_000)
    assert read_table(path, limit=401_000).n_rows == 100_000
    for name, write in (("d.parquet", pq.write_table), ("d.arrow", lambda t, p: arrow_file(Path(p), t))):
        write(pa.table({"x": np.zeros(100_000), "y": np.zeros(100_000)}), str(tmp_path / name))
        with pytest.raises(TooLargeError):
            read_table(tmp_path / name, limit=1_000_000)


@pytest.mark.slow
@LINUX
def test_a_small_file_that_unfolds_is_read_in_pieces(tmp_path: Path) -> None:
    """In an address space that its cells, read at once, do not fit in."""
    path = tmp_path / "d.csv.gz"
    path.write_bytes(bomb(24_000_000))
    assert path.stat().st_size < 400_000
    one = {"ARROW_DEFAULT_MEMORY_POOL": "system", "MALLOC_ARENA_MAX": "1", "OMP_NUM_THREADS": "1"}
    one |= {"OPENBLAS_NUM_THREADS": "1", "NEWTRON_NUM_THREADS": "1"}
    line = f"ulimit -v 1500000; $N fit d.csv.gz {' '.join(FIT)} --memory 40MB --scratch . --no-refit"
    done = in_bash(line, tmp_path, **one)
    assert done.returncode == 0, done.stderr
    assert "read in pieces" in done.stdout + done.stderr
    assert sorted(os.listdir(tmp_path)) == ["d.csv.gz", "model.newtron"]


def test_a_column_that_is_not_there_is_told_before_a_text_is_converted(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a,b\n1,2\n3,4\n")
    passes: list[int] = []
    for target, ignore, told in (("c", [], "no column 'c'"), ("b", ["d"], "no column 'd' to ignore")):
        with pytest.raises(InputError, match=told):
            FileRows(path, target, ignore=ignore, converting=lambda done, total: passes.append(done))
    assert passes == []


def test_a_packed_file_that_is_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "d.csv.gz"
    path.write_bytes(bomb(4_000_000)[:-9])
    for read in (read_table, lambda path: FileRows(path, "y", memory=32e6, folder=str(tmp_path))):
        with pytest.raises(InputError, match="the packed data is damaged or cut short"):
            read(path)
    assert os.listdir(tmp_path) == ["d.csv.gz"]


def test_a_row_longer_than_a_block_is_told(tmp_path: Path) -> None:
    path = tmp_path / "d.csv.gz"
    path.write_bytes(gzip.compress(b"a,y\n" + b"x" * 20_000_000 + b",1\n"))
    with pytest.raises(InputError, match="a row is longer than 4 MB"):
        FileRows(path, "y", memory=32e6, folder=str(tmp_path))
    path.write_bytes(gzip.compress(b"a" * 20_000_000 + b",y\n1,2\n"))
    with pytest.raises(InputError, match="a cell is longer than"):
        FileRows(path, "y", memory=32e6, folder=str(tmp_path))


@pytest.mark.slow
def test_text_that_is_not_read_in_pieces_is_refused_by_its_size(tmp_path: Path) -> None:
    (tmp_path / "d.csv").write_text("a,y\n" + "1,2\n" * 10_000_000, encoding="utf-16")
    assert "give more --memory, or convert it" in one_sentence(
        command("fit", "d.csv", *FIT, "--memory", "33MB", cwd=tmp_path)
    )


def test_a_source_is_taken_as_it_is(tmp_path: Path) -> None:
    source = data_file_of(PENGUINS)
    assert data_file_of(source) is source
    assert read_table(source).n_rows == read_table(PENGUINS).n_rows
