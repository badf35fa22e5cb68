"""Prints the line coverage of rooms from a file of lcov, without the code of tests.

    coverage.py FILE [--missing] [--least PER_CENT] [ROOM…]

Code of tests is what the sources declare as such: the file of a module behind `#[cfg(test)]`, with all below its folder, and
any other item behind that line, to its end.
"""

import argparse
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent / "src"

# The rooms, and the files and folders of each. Framing is what reads or writes where a message or a frame ends.
ROOMS = {
    "policy": ["policy"],
    "token": ["token"],
    "route": ["route"],
    "decision": ["decision"],
    "framing": [
        "upstream/pool/http1",
        "server/connection/bare.rs",
        "server/connection/head.rs",
        "server/connection/position.rs",
        "server/connection/refused_stream.rs",
        "server/connection/single_head.rs",
        "server/connection/sniff.rs",
        "net/frames.rs",
    ],
}

MODULE = re.compile(r"^\s*(?:pub(?:\([^)]*\))? )?mod (\w+);$")
PATH = re.compile(r'^\s*#\[path = "(.*)"\]$')


def counts(path):
    """Returns how often each line of each source file ran."""
    files, current = {}, None
    for line in pathlib.Path(path).read_text().splitlines():
        if line.startswith("SF:"):
            current = files.setdefault(pathlib.Path(line[3:]), {})
        elif line.startswith("DA:"):
            number, count = line[3:].split(",")[:2]
            current[int(number)] = max(current.get(int(number), 0), int(count))
    return files


def folder_of(path):
    """Returns the folder of the modules that a file declares."""
    return path.parent if path.name in ("mod.rs", "lib.rs") else path.with_suffix("")


def tests_of(path):
    """Returns the lines of a file that are compiled for tests alone, and the files that it declares for tests."""
    lines = path.read_text().splitlines()
    numbers, files = set(), set()
    for start, line in enumerate(lines):
        if line.strip() != "#[cfg(test)]":
            continue
        indent = line[: len(line) - len(line.lstrip())]
        place = None
        for end in range(start + 1, len(lines)):
            if found := PATH.match(lines[end]):
                place = path.parent / found[1]
            if found := MODULE.match(lines[end]):
                name = found[1]
                beside = folder_of(path)
                files.update([place] if place else [beside / f"{name}.rs", beside / name / "mod.rs"])
            is_attribute = lines[end].strip().startswith("#")
            # rustfmt ends an item with a brace as deep as its beginning, or with a semicolon.
            if lines[end] == indent + "}" or not is_attribute and lines[end].endswith((";", "}")) and lines[end].startswith(indent) and lines[end][len(indent)] != " ":
                break
        numbers.update(range(start + 1, end + 2))
    return numbers, files


def sources():
    """Returns the lines of each source file that are of tests. Files of tests are left out."""
    own, tests = {}, set()
    for path in sorted(ROOT.rglob("*.rs")):
        own[path], declared = tests_of(path)
        tests |= declared
    folders = {folder_of(path) for path in tests}
    is_of_tests = lambda path: path in tests or any(folder in path.parents for folder in folders)
    return {path: lines for path, lines in own.items() if not is_of_tests(path)}


def measure(room, files, own):
    """Returns the number of lines of a room, and the lines that did not run."""
    total, missing = 0, []
    places = [ROOT / place for place in ROOMS[room]]
    for path, lines in sorted(files.items()):
        if path not in own or not any(path.is_relative_to(place) for place in places):
            continue
        text = path.read_text().splitlines()
        for number, count in sorted(lines.items()):
            if number in own[path]:
                continue
            total += 1
            if count == 0:
                missing.append(f"  {path.relative_to(ROOT)}:{number}: {text[number - 1].strip()}")
    return total, missing


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("file")
    parser.add_argument("--missing", action="store_true")
    parser.add_argument("--least", type=float, default=0)
    parser.add_argument("rooms", nargs="*", metavar="ROOM", help=", ".join(ROOMS))
    arguments = parser.parse_args()
    files, own = counts(arguments.file), sources()
    is_enough = True
    for room in arguments.rooms or ROOMS:
        if room not in ROOMS:
            parser.error(f"no such room: {room}")
        total, missing = measure(room, files, own)
        if total == 0:
            sys.exit(f"{room}: no line was measured")
        share = 100 * (total - len(missing)) / total
        is_enough &= share >= arguments.least
        print(f"{room}: {total - len(missing)} of {total} lines, {share:.1f} %")
        if arguments.missing:
            print("\n".join(missing))
    if not is_enough:
        sys.exit(f"a room has fewer than {arguments.least:g} %")


main()
