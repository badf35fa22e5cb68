"""Prints the line coverage of rooms from a file of lcov, without the code of tests.

    coverage.py FILE [--missing] [ROOM…]
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent / "src"

# The rooms, and the file or folder of each.
ROOMS = {
    "policy": "policy",
    "token": "token",
    "route": "route",
    "decision": "decision",
    "framing": "upstream/pool/http1",
}

# Files that are compiled for tests alone.
TESTS = re.compile(r"(_tests|/tests|/fuzz|/fixture|/trial)(/.*)?\.rs$")


def counts(path):
    """Returns how often each line of each source file ran."""
    files, current = {}, None
    for line in pathlib.Path(path).read_text().splitlines():
        if line.startswith("SF:"):
            current = files.setdefault(line[3:], {})
        elif line.startswith("DA:"):
            number, count = line[3:].split(",")[:2]
            current[int(number)] = max(current.get(int(number), 0), int(count))
    return files


def end_of_code(text):
    """Returns the number of the line with which the tests of a file begin."""
    lines = text.splitlines()
    for number, (line, following) in enumerate(zip(lines, lines[1:]), 1):
        if line == "#[cfg(test)]" and following == "mod tests {":
            return number
    return len(lines) + 1


def main():
    arguments = sys.argv[2:]
    shows_missing = "--missing" in arguments
    wanted = [name for name in arguments if name != "--missing"] or list(ROOMS)
    files = counts(sys.argv[1])
    for room in wanted:
        ran = total = 0
        missing = []
        for name, lines in sorted(files.items()):
            path = pathlib.Path(name)
            if not path.is_relative_to(ROOT / ROOMS[room]) or TESTS.search(name):
                continue
            text = path.read_text()
            end = end_of_code(text)
            for number, count in sorted(lines.items()):
                if number < end:
                    total += 1
                    ran += count > 0
                    if count == 0:
                        missing.append(f"  {path.relative_to(ROOT)}:{number}: {text.splitlines()[number - 1].strip()}")
        print(f"{room}: {ran} of {total} lines, {100 * ran / total:.1f} %")
        if shows_missing:
            print("\n".join(missing))


main()
