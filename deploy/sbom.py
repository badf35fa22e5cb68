#!/usr/bin/env python3
"""Prints what the program consists of, as a CycloneDX 1.6 document (SBOM).

    deploy/sbom.py > scopegate.cdx.json
    deploy/sbom.py --target aarch64-unknown-linux-gnu > scopegate.cdx.json

Reads `cargo tree`, `cargo metadata` and Cargo.lock: every crate that is linked into the program, with its version, licence, the
SHA-256 of its archive and what it uses. Crates that run at build time only have the scope "excluded"; those of the tests are
left out. Needs cargo and Python 3.11 or newer, and the sources of the crates (`cargo fetch --locked`).

The same tree gives the same document, byte for byte. It has a time only if SOURCE_DATE_EPOCH is set.
"""

import argparse
import datetime
import hashlib
import json
import os
import pathlib
import re
import subprocess
import tomllib
import uuid

ROOT = pathlib.Path(__file__).resolve().parent.parent


def metadata(target):
    command = ["cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", target]
    return json.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)


def host():
    text = subprocess.run(["rustc", "-vV"], check=True, stdout=subprocess.PIPE, text=True).stdout
    return re.search(r"^host: (.*)$", text, re.MULTILINE).group(1)


def checksums():
    """Returns the SHA-256 of each crate's archive, by name and version."""
    lock = tomllib.loads((ROOT / "Cargo.lock").read_text())
    return {(p["name"], p["version"]): p["checksum"] for p in lock["package"] if "checksum" in p}


def tree(target, edges):
    """Returns the packages that the program is built from, as name and version.

    `cargo tree` leaves out what only features of the tests would bring; `cargo metadata` does not.
    """
    command = ["cargo", "tree", "--locked", "--target", target, "--edges", edges, "--prefix", "none", "--format", "{p}"]
    text = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    lines = [line.split() for line in text.splitlines() if line]
    return {(words[0], words[1].removeprefix("v")) for words in lines}


def uses(node):
    """Returns the ids of the packages that a package uses, at run time or to be built."""
    return {used["pkg"] for used in node["deps"] if any(kind["kind"] != "dev" for kind in used["dep_kinds"])}


def key(package):
    return package["name"], package["version"]


def purl(package):
    return f"pkg:cargo/{package['name']}@{package['version'].replace('+', '%2B')}"


def licence(package):
    """Returns the licence as an SPDX expression. Old crates write `/` for `OR`."""
    return re.sub(r"\s*/\s*", " OR ", package["license"])


def component(package, is_linked, checksum):
    entry = {
        "type": "library",
        "bom-ref": purl(package),
        "name": package["name"],
        "version": package["version"],
        "scope": "required" if is_linked else "excluded",
        "licenses": [{"expression": licence(package)}],
        "purl": purl(package),
    }
    if checksum:
        entry["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    if package.get("repository"):
        entry["externalReferences"] = [{"type": "vcs", "url": package["repository"]}]
    inner = aws_lc(package)
    if inner:
        entry["components"] = [inner]
    return entry


def aws_lc(package):
    """Returns the C library that `aws-lc-sys` compiles: advisories name it by its own version."""
    if package["name"] != "aws-lc-sys":
        return None
    header = pathlib.Path(package["manifest_path"]).parent / "aws-lc/include/openssl/base.h"
    version = re.search(r'AWSLC_VERSION_NUMBER_STRING "([^"]+)"', header.read_text()).group(1)
    return {
        "type": "library",
        "bom-ref": f"aws-lc@{version}",
        "name": "aws-lc",
        "version": version,
        "purl": f"pkg:github/aws/aws-lc@v{version}",
    }


def described(package):
    """Returns the program itself."""
    return {
        "type": "application",
        "bom-ref": purl(package),
        "name": package["name"],
        "version": package["version"],
        "description": package["description"],
        "licenses": [{"expression": licence(package)}],
        "purl": purl(package),
    }


def document(target):
    found = metadata(target)
    built = tree(target, "normal,build")
    linked = tree(target, "normal,no-proc-macro")
    packages = {package["id"]: package for package in found["packages"] if key(package) in built}
    root = found["resolve"]["root"]
    sums = checksums()
    components, dependencies = [], []
    for id in sorted(packages, key=lambda id: (id != root, purl(packages[id]))):
        package = packages[id]
        if id != root:
            components.append(component(package, key(package) in linked, sums.get(key(package))))
        node = next(node for node in found["resolve"]["nodes"] if node["id"] == id)
        used = [purl(packages[other]) for other in uses(node) if other in packages]
        dependencies.append({"ref": purl(package), "dependsOn": sorted(used)})
    content = {
        "metadata": {
            "component": described(packages[root]),
            "properties": [{"name": "cargo:target", "value": target}],
        },
        "components": components,
        "dependencies": dependencies,
    }
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).digest()
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    if epoch:
        time = datetime.datetime.fromtimestamp(int(epoch), datetime.timezone.utc)
        content["metadata"]["timestamp"] = time.strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.UUID(bytes=digest[:16], version=4)}",
        "version": 1,
        **content,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", help="the system that the program is built for; this one by default")
    arguments = parser.parse_args()
    print(json.dumps(document(arguments.target or host()), indent=2))


if __name__ == "__main__":
    main()
