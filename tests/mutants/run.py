"""Runs the mutants of a subject of `rooms.py`: see `run.sh`."""

import argparse
import json
import math
import os
import re
import resource
import signal
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Timer

import trim
import weave
from rooms import SUBJECTS, Subject
from weave import Mutant

ROOT = trim.ROOT

# The limits of the tests of a mutant: how much more of the processor's time they may take than
# without a mutant, and what bounds a test that waits for ever, or a mutant that fills memory.
TIMES_SLOWER, CPU_SECONDS = 4, 5
SECONDS = 60
MEMORY = 8 << 30

# Tests that take less are run together, the fastest first, and each of the others alone, after
# them: most mutants are noticed by a fast one.
FASTEST_SECONDS, FAST_SECONDS = 0.03, 0.3

CAUGHT, TIMEOUT, UNVIABLE, SURVIVED = "caught", "timeout", "unviable", "survived"


class Package:
    """The trimmed package of a room."""

    def __init__(self, subject: Subject, directory: Path, arguments: argparse.Namespace):
        self.subject, self.directory = subject, directory
        self.jobs, self.only_fast = arguments.jobs, arguments.fast
        trim.make(subject.room, directory)
        self.room = directory / "room"
        library = self.room / "src/lib.rs"
        library.write_text(library.read_text() + weave.CHOICE)

    def write(self, file: str, text: str) -> None:
        (self.room / file).write_text(text)

    def build(self) -> tuple[Path | None, list[tuple[str, int]], str]:
        """Returns the tests' program, or where the compiler found errors, and what it said."""
        command = ["cargo", "test", "--quiet", "--no-run", "--lib", "--package", "scopegate"]
        done = subprocess.run(
            [*command, "--message-format", "json"],
            cwd=self.directory,
            env=os.environ | {"CARGO_TARGET_DIR": str(self.directory / "target")},
            capture_output=True,
            text=True,
        )
        program, places, said = None, [], done.stderr
        for line in done.stdout.splitlines():
            value = json.loads(line)
            if value.get("executable"):
                program = Path(value["executable"])
            message = value.get("message")
            if isinstance(message, dict) and message["level"] == "error":
                said += message["rendered"]
                places += [(span["file_name"], span["line_start"]) for span in message["spans"]]
        return (program if done.returncode == 0 else None), places, said

    def steps(self, program: Path) -> list["Step"]:
        """Returns the tests in the order in which they are run, the fast ones first."""
        listed = subprocess.run(
            [program, "--list"],
            cwd=self.room,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        names = [line.removesuffix(": test") for line in listed.stdout.splitlines() if line.endswith(": test")]
        fastest, fast, slow = Step([], 0), Step([], 0), []
        for name in names:
            step = Step([name], 0)
            result, by, step.cost = self.test_some(program, 0, step)
            if result == TIMEOUT and self.only_fast:
                continue
            if result != SURVIVED:
                print(f"not run: {name}, which fails without a mutant, or alone ({result}, {by})")
            elif step.cost < FASTEST_SECONDS:
                fastest.add(step)
            elif step.cost < FAST_SECONDS:
                fast.add(step)
            elif not self.only_fast:
                slow.append(step)
        together = [step for step in (fastest, fast) if step.names]
        return [*together, *sorted(slow, key=lambda step: step.cost)]

    def processor_seconds(self, step: "Step") -> int:
        if not step.cost:
            return 1 if self.only_fast else 600
        return math.ceil(CPU_SECONDS + TIMES_SLOWER * step.cost)

    def test(self, program: Path, mutant: int, steps: list["Step"]) -> tuple[str, str]:
        for step in steps:
            result, by, _ = self.test_some(program, mutant, step)
            if result != SURVIVED:
                return result, by
        return SURVIVED, ""

    def test_some(self, program: Path, mutant: int, step: "Step") -> tuple[str, str, float]:
        """Runs tests up to the first that fails; returns what they say, and what they cost."""
        process = subprocess.Popen(
            [program, "--exact", *step.names],
            cwd=self.room,
            env=os.environ | {"SCOPEGATE_MUTANT": str(mutant)},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            preexec_fn=lambda: limit(self.processor_seconds(step)),
        )
        # A mutant has to be noticed in time; the product itself has all the time it needs.
        waits = Timer(SECONDS if mutant else 600, process.kill)
        waits.start()
        first = ""
        for line in process.stdout:
            failed = re.match(r"test (\S+) .*FAILED$", line)
            if failed:
                first = failed[1]
                process.kill()
                break
        process.stdout.close()
        _, status, usage = os.wait4(process.pid, 0)
        in_time = waits.is_alive()
        waits.cancel()
        process.returncode = code = os.waitstatus_to_exitcode(status)
        cost = usage.ru_utime + usage.ru_stime
        if first:
            return CAUGHT, first, cost
        if not in_time:
            return TIMEOUT, f"more than {SECONDS} s", cost
        if code in (-signal.SIGXCPU, -signal.SIGKILL):
            return TIMEOUT, f"{cost:.0f} s of the processor", cost
        if code != 0:
            return CAUGHT, f"the tests end with {code}", cost
        return SURVIVED, "", cost


@dataclass
class Step:
    """Tests that run in one process, and the time of the processor that they take."""

    names: list[str]
    cost: float

    def add(self, other: "Step") -> None:
        self.names += other.names
        self.cost += other.cost


def limit(seconds: int) -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def generated(subject: Subject) -> list[Mutant]:
    """Returns the mutants that cargo-mutants generates for a subject."""
    files = [argument for glob in subject.files for argument in ("--file", glob)]
    command = ["cargo", "mutants", "--list", "--json", "--no-config", *files]
    values = json.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)
    texts = {file: (ROOT / file).read_text() for file in {value["file"] for value in values}}
    return [weave.read(i + 1, value, texts[value["file"]]) for i, value in enumerate(values)]


def key(mutants: list[Mutant]) -> dict[int, str]:
    """Returns a name for each mutant that stays when lines move: its own, with a count if several
    of one function have it."""
    counts: Counter[str] = Counter()
    keys = {}
    for mutant in mutants:
        name = re.sub(r"^(\S+?):\d+:\d+: ", r"\1: ", mutant.name)
        counts[name] += 1
        keys[mutant.number] = name if counts[name] == 1 else f"{name} ({counts[name]})"
    return keys


class Results:
    """The file with a line for each mutant: what came of it, its name, and the test that failed."""

    def __init__(self, file: Path, keys: dict[int, str], is_continued: bool):
        self.file, self.keys = file, keys
        self.lines: dict[str, tuple[str, str]] = {}
        if is_continued:
            for line in file.read_text().splitlines():
                result, key, by = line.split("\t")
                self.lines[key] = (result, by)

    def add(self, mutant: Mutant, result: str, by: str) -> None:
        self.lines[self.keys[mutant.number]] = (result, by)
        lines = [f"{result}\t{key}\t{by}" for key, (result, by) in sorted(self.lines.items())]
        self.file.write_text("\n".join(lines) + "\n")

    def is_open(self, mutant: Mutant) -> bool:
        """Reports whether no test is known that fails for the mutant."""
        result, _ = self.lines.get(self.keys[mutant.number], (SURVIVED, ""))
        return result in (SURVIVED, TIMEOUT)

    def survivors(self) -> list[str]:
        return [key for key, (result, _) in sorted(self.lines.items()) if result == SURVIVED]


class Run:
    def __init__(self, package: Package, mutants: list[Mutant], results: "Results"):
        self.package, self.results = package, results
        files = {mutant.file for mutant in mutants}
        self.texts = {file: (ROOT / file).read_text() for file in files}
        self.alone = [m for m in mutants if self.is_alone(m)]
        numbers = {m.number for m in self.alone}
        self.woven = [m for m in mutants if m.number not in numbers]

    def is_alone(self, mutant: Mutant) -> bool:
        if mutant.function is None:
            return True
        # The bodies of a function have one type, also where it is opaque.
        opaque = "impl " in mutant.returns
        return opaque or weave.is_constant(self.texts[mutant.file], mutant)

    def done(self, mutant: Mutant, result: str, by: str) -> None:
        self.results.add(mutant, result, by)
        if result != CAUGHT:
            print(f"{result}: {mutant.name}", flush=True)

    def all(self) -> None:
        program = self.woven_program()
        steps = self.package.steps(program)
        counts = f"{len(self.woven)} mutants in one build, {sum(len(step.names) for step in steps)} tests"
        print(f"{counts}, which take {sum(step.cost for step in steps):.1f} s of the processor", flush=True)
        with ThreadPoolExecutor(self.package.jobs) as pool:
            testing = [(m, pool.submit(self.package.test, program, m.number, steps)) for m in self.woven]
            for mutant, result in testing:
                self.done(mutant, *result.result())
        self.restore()
        for mutant in self.alone:
            self.run_alone(mutant, steps)

    def woven_program(self) -> Path:
        """Builds all mutants that the compiler accepts."""
        while True:
            numbers = {}
            for file, text in self.texts.items():
                woven = weave.weave(text, [m for m in self.woven if m.file == file])
                numbers[file] = weave.marks(woven)
                self.package.write(file, woven)
            program, places, said = self.package.build()
            if program:
                return program
            wrong = {numbers.get(file.removeprefix("room/"), {}).get(line, 0) for file, line in places}
            wrong -= {0}
            if not wrong:
                sys.exit(said)
            for mutant in [m for m in self.woven if m.number in wrong]:
                self.done(mutant, UNVIABLE, "")
            self.woven = [m for m in self.woven if m.number not in wrong]

    def restore(self) -> None:
        for file, text in self.texts.items():
            self.package.write(file, text)

    def run_alone(self, mutant: Mutant, steps: list[Step]) -> None:
        text = self.texts[mutant.file]
        self.package.write(mutant.file, weave.mutated(text, mutant))
        program, _, _ = self.package.build()
        self.package.write(mutant.file, text)
        result = self.package.test(program, mutant.number, steps) if program else (UNVIABLE, "")
        self.done(mutant, *result)


def known() -> dict[str, str]:
    """Returns the survivors that have a reason."""
    text = (ROOT / "tests/mutants/survivors.md").read_text()
    return dict(re.findall(r"^- `(.+?)`: (.+)$", text, re.MULTILINE))


def shard(text: str) -> tuple[int, int]:
    index, count = map(int, text.split("/"))
    return index % count, count


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("subjects", nargs="*", choices=[*SUBJECTS, []])
    parser.add_argument("--shard", type=shard, default=(0, 1))
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--only", default="", help="a part of a mutant's name")
    parser.add_argument("--fast", action="store_true", help="without the slow tests")
    parser.add_argument("--again", action="store_true", help="what was not noticed the last time")
    arguments = parser.parse_args()
    without_reason = 0
    for name in arguments.subjects or SUBJECTS:
        without_reason += run(name, arguments)
    if without_reason:
        sys.exit(f"{without_reason} survivors have no reason in tests/mutants/survivors.md")


def run(name: str, arguments: argparse.Namespace) -> int:
    """Runs the mutants of a subject; returns the number of survivors without a reason."""
    print(f"== {name}", flush=True)
    every = generated(SUBJECTS[name])
    keys = key(every)
    index, count = arguments.shard
    chosen = [m for m in every if m.number % count == index and arguments.only in m.name]
    results = Results(ROOT / f"target/mutants/{name}.results", keys, arguments.again)
    if arguments.again:
        chosen = [mutant for mutant in chosen if results.is_open(mutant)]
    package = Package(SUBJECTS[name], ROOT / "target/mutants" / name, arguments)
    Run(package, chosen, results).all()
    reasons = known()
    unexplained = [survivor for survivor in results.survivors() if survivor not in reasons]
    for survivor in unexplained:
        print(f"no reason: {survivor}")
    counts = Counter(result for result, _ in results.lines.values())
    tested = len(results.lines) - counts[UNVIABLE]
    print(
        f"{name}: {len(every)} generated, {counts[UNVIABLE]} unviable, {tested} run, "
        f"{counts[CAUGHT]} caught, {counts[TIMEOUT]} timed out, {counts[SURVIVED]} survived "
        f"({100 * counts[SURVIVED] / max(tested, 1):.1f} %)",
        flush=True,
    )
    return len(unexplained)


main()
