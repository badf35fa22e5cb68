"""Puts many mutants into one build: each function becomes a choice among its own body and those of
its mutants, by the number that the environment gives.

The mutants are those that cargo-mutants generates (`cargo mutants --list --json`). It builds the
package once for each; on this product that is most of the time.
"""

import re
from dataclasses import dataclass, field
from typing import Any

# Shown to the woven sources by `lib.rs`.
CHOICE = """
/// Returns the number of the mutant that runs in this process; 0 is the product itself.
#[doc(hidden)]
pub fn mutant() -> u32 {
    static CHOSEN: std::sync::LazyLock<u32> = std::sync::LazyLock::new(|| {
        std::env::var("SCOPEGATE_MUTANT").map_or(0, |number| number.parse().unwrap())
    });
    *CHOSEN
}
"""

# A line before each body, so that the compiler's errors can be told apart.
MARK = "//@mutant "


@dataclass
class Mutant:
    number: int
    name: str
    file: str
    function: tuple[int, int] | None
    returns: str
    change: tuple[int, int]
    replacement: str


@dataclass
class Function:
    start: int
    end: int
    mutants: list[Mutant] = field(default_factory=list)


def offset(text: str, place: dict[str, int]) -> int:
    lines = text.split("\n")
    return sum(len(line) + 1 for line in lines[: place["line"] - 1]) + place["column"] - 1


def span(text: str, value: dict[str, Any]) -> tuple[int, int]:
    return offset(text, value["start"]), offset(text, value["end"])


def read(number: int, value: dict[str, Any], text: str) -> Mutant:
    """Reads a mutant of cargo-mutants' list."""
    function = value["function"]
    return Mutant(
        number=number,
        name=value["name"],
        file=value["file"],
        function=span(text, function["span"]) if function else None,
        returns=function["return_type"] if function else "",
        change=span(text, value["span"]),
        replacement=value["replacement"],
    )


def mutated(text: str, mutant: Mutant) -> str:
    start, end = mutant.change
    return text[:start] + mutant.replacement + text[end:]


def weave(text: str, mutants: list[Mutant]) -> str:
    """Returns the source with all of these mutants, which are of one file and in functions."""
    for function in reversed(functions(mutants)):
        brace = body(text, function)
        own = text[brace : function.end]
        arms = [
            f"\n{MARK}{m.number}\n{m.number} => {with_change(own, brace, m)}" for m in function.mutants
        ]
        woven = f"{{ match crate::mutant() {{{''.join(arms)}\n{MARK}0\n_ => {own}\n}} }}"
        text = text[:brace] + woven + text[function.end :]
    return text


def functions(mutants: list[Mutant]) -> list[Function]:
    """Returns the outermost functions that have mutants, in order."""
    found: list[Function] = []
    by_place = sorted(mutants, key=lambda m: (m.function[0], -m.function[1]))
    for mutant in by_place:
        start, end = mutant.function
        if not found or start >= found[-1].end:
            found.append(Function(start, end))
        found[-1].mutants.append(mutant)
    return found


def with_change(own: str, brace: int, mutant: Mutant) -> str:
    start, end = mutant.change
    return own[: start - brace] + mutant.replacement + own[end - brace :]


def body(text: str, function: Function) -> int:
    """Returns where the body of a function begins: the first brace outside of brackets."""
    at = function.start + re.search(r"\bfn\s+\w+", text[function.start : function.end]).end()
    depth = 0
    while at < function.end:
        quiet = re.match(r"//[^\n]*|/\*.*?\*/|'[^'\\]'|\"(?:[^\"\\]|\\.)*\"", text[at:], re.DOTALL)
        if quiet:
            at += quiet.end()
            continue
        if text[at] in "([":
            depth += 1
        elif text[at] in ")]":
            depth -= 1
        elif text[at] == "{" and depth == 0:
            return at
        at += 1
    raise ValueError(f"no body in {text[function.start:function.end]!r}")


def is_constant(text: str, mutant: Mutant) -> bool:
    """Reports whether the mutant is in a function that may run in the compiler."""
    start, end = mutant.function
    head = text[start:end].split("{", 1)[0]
    return re.search(r"\bconst (?:unsafe )?fn\b", head) is not None


def marks(text: str) -> dict[int, int]:
    """Returns for each line of a woven source the mutant whose body it is in; 0 for none."""
    numbers, current = {}, 0
    for number, line in enumerate(text.split("\n"), start=1):
        if line.startswith(MARK):
            current = int(line.removeprefix(MARK))
        numbers[number] = current
    return numbers
