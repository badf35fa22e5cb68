"""The list of the program's parts (deploy/sbom.py): its form by CycloneDX's schema, its content by a build; the
compiler that the parts ask for, which is not newer than the project's own `rust-version`; and the notes in supply-chain."""

import json
import pathlib
import re
import subprocess
import sys
import tomllib

from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator


def printed(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def fail(text):
    sys.exit(f"FAILED: {text}")


def release(text):
    return tuple(int(part) for part in text.split("."))


def check_form(text):
    validator = JsonStrictValidator(SchemaVersion.V1_6)
    error = validator.validate_str(text)
    if error:
        fail(f"deploy/sbom.py: {error}")
    if not validator.validate_str(text.replace('"type": "library"', '"type": "librarian"', 1)):
        fail("the validator takes a component of an unknown type")


def compiled():
    """Returns the names and versions of the crates that a build of the program compiles."""
    command = ["cargo", "build", "--locked", "--bin", "scopegate", "--message-format", "json"]
    messages = [json.loads(line) for line in printed(*command).splitlines()]
    ids = {message["package_id"] for message in messages if message["reason"] == "compiler-artifact"}
    return {re.search(r"#(.*)@(.*)$", id).groups() for id in ids if id.startswith("registry+")}


def check_content(sbom):
    parts = sbom["components"]
    listed = {(part["name"], part["version"]) for part in parts}
    different = listed ^ compiled()
    if different:
        fail(f"deploy/sbom.py differs from what is compiled: {sorted(different)}")
    without = [part["name"] for part in parts if "hashes" not in part]
    if without:
        fail(f"parts without a checksum: {without}")
    linked = [part for part in parts if part["scope"] == "required"]
    return f"{len(linked)} parts are linked, {len(parts) - len(linked)} run at build time"


def check_compilers():
    packages = json.loads(printed("cargo", "metadata", "--locked", "--format-version", "1"))["packages"]
    wanted = {package["name"]: package["rust_version"] for package in packages if package["rust_version"]}
    own = release(wanted.pop("scopegate"))
    newer = {name: version for name, version in wanted.items() if release(version)[:2] > own[:2]}
    if newer:
        fail(f"these crates ask for a newer compiler than rust-version: {newer}")
    newest = max(wanted.values(), key=release)
    silent = len(packages) - 1 - len(wanted)
    return f"no crate asks for a newer compiler than {newest}; {silent} of {len(packages) - 1} do not say"


def check_notes():
    """Each crate with a note of our own has one for the version in use."""
    audits = tomllib.loads(pathlib.Path("supply-chain/audits.toml").read_text())["audits"]
    lock = tomllib.loads(pathlib.Path("Cargo.lock").read_text())
    used = {(package["name"], package["version"]) for package in lock["package"]}
    for name, notes in audits.items():
        versions = [note.get("version") or note["delta"].split(" -> ")[1] for note in notes]
        if not any((name, version) in used for version in versions):
            fail(f"supply-chain/audits.toml has no note for the version of {name} that is in use, only for {versions}")
    return f"{len(audits)} crates have a note for the version in use"


text = printed("deploy/sbom.py")
check_form(text)
if text != printed("deploy/sbom.py"):
    fail("deploy/sbom.py prints two documents for one tree")
print(check_content(json.loads(text)))
print(check_compilers())
print(check_notes())
