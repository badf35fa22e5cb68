"""Makes a package in which a mutant of one room is built in seconds: `make`.

The directory becomes a workspace of two packages. One, named `scopegate`, has the sources of the
room, with its unit tests. The other, `rest`, has the rooms that these use, with their fixtures for
tests, and is built once: no room uses one above it (`tests/it/architecture.rs`), so they do without
the room.
"""

import re
import shutil
import tomllib
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HARNESS = "tests/fuzz/harness"

# What tests read by its path in the repository.
READ = ("tests", "docs", "deploy", "README.md", "gateway.toml")

# What `rest` shows to the room, although the product shows it to its own rooms only. A macro stays.
PUBLIC = re.compile(r"\bpub\((?:crate|in [\w:]+)\)(?! use \w+;)")

# Other crates are built as for the product.
WORKSPACE = """[workspace]
members = [{members}]
resolver = "3"

[profile.dev]
debug = "line-tables-only"
incremental = true

# Built once, and run hundreds of times.
[profile.dev.package.scopegate]
debug = false
opt-level = 1
"""


def sources(room: str) -> list[Path]:
    """Returns the files of a room, or of the harness of the fuzz targets, which is a room of tests."""
    if room == "fuzz":
        return sorted((ROOT / HARNESS).glob("*.rs"))
    return sorted([*(ROOT / "src").glob(f"{room}.rs"), *(ROOT / "src" / room).rglob("*.rs")])


def text_of(rooms: Iterable[str]) -> str:
    return "\n".join(source.read_text() for room in rooms for source in sources(room))


def used_by(room: str) -> list[str]:
    """Returns the rooms that a room and its tests use, and those that these use."""
    found, left = set(), [room]
    while left:
        uses = set(re.findall(r"\bcrate::(\w+)", text_of([left.pop()])))
        new = {use for use in uses - found - {room} if sources(use)}
        found |= new
        left += new
    return sorted(found)


def dependencies() -> dict[str, object]:
    manifest = tomllib.loads((ROOT / "Cargo.toml").read_text())
    return manifest["dependencies"] | manifest["dev-dependencies"]


def named(text: str) -> dict[str, object]:
    """Returns the dependencies that a text names."""
    every = dependencies().items()
    return {key: value for key, value in every if re.search(rf"\b{key.replace('-', '_')}\b", text)}


def inline(value: object) -> str:
    """Returns a value in TOML's syntax."""
    match value:
        case bool():
            return str(value).lower()
        case str():
            return f'"{value}"'
        case list():
            return "[" + ", ".join(map(inline, value)) + "]"
        case dict():
            return "{ " + ", ".join(f"{k} = {inline(v)}" for k, v in value.items()) + " }"
    raise TypeError(value)


def manifest(name: str, own: dict[str, object]) -> str:
    lines = [f"{key} = {inline(value)}" for key, value in own.items()]
    head = f'[package]\nname = "{name}"\nversion = "0.1.0"\nedition = "2024"\n'
    return head + "\n[lib]\ndoctest = false\n\n[dependencies]\n" + "\n".join(lines) + "\n"


def library(rooms: Iterable[str], uses: str) -> str:
    lines = ["#![allow(warnings)]", uses, *(f"pub mod {room};" for room in rooms)]
    return "\n".join(lines) + "\n"


def make_rest(rooms: list[str], package: Path) -> None:
    for room in rooms:
        for source in sources(room):
            text = PUBLIC.sub("pub", source.read_text()).replace("cfg(test)", "cfg(all())")
            place = f"src/fuzz/{source.name}" if room == "fuzz" else source.relative_to(ROOT)
            write(package / place, text)
    write(package / "src/lib.rs", library(rooms, ""))
    write(package / "Cargo.toml", manifest("rest", dependencies()))


def make_room(room: str, others: list[str], package: Path) -> None:
    for source in sources(room):
        write(package / source.relative_to(ROOT), source.read_text())
    own = named(text_of([room]))
    if others:
        own["rest"] = {"path": "../rest"}
    uses = f"pub use rest::{{{', '.join(others)}}};" if others else ""
    write(package / "src/lib.rs", library([room], uses))
    write(package / "Cargo.toml", manifest("scopegate", own))


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def link(package: Path) -> None:
    """Shows the package what tests read."""
    for name in READ:
        (package / name).symlink_to(ROOT / name)


def make(room: str, workspace: Path) -> None:
    """Makes the workspace of a room."""
    others = used_by(room)
    members = ["room", "rest"] if others else ["room"]
    for member in members:
        shutil.rmtree(workspace / member, ignore_errors=True)
    write(workspace / "Cargo.toml", WORKSPACE.format(members=", ".join(f'"{m}"' for m in members)))
    shutil.copy(ROOT / "Cargo.lock", workspace / "Cargo.lock")
    make_room(room, others, workspace / "room")
    if others:
        make_rest(others, workspace / "rest")
    for member in members:
        link(workspace / member)
