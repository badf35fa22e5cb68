"""What is mutated."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Subject:
    """Files of a room, as globs from the root of the repository. All unit tests of the room are run."""

    room: str
    files: tuple[str, ...]


SUBJECTS = {
    "policy": Subject("policy", ("src/policy/**/*.rs",)),
    "route": Subject("route", ("src/route/**/*.rs",)),
    "token": Subject("token", ("src/token/**/*.rs",)),
}
