#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Checks the files that a crate needs to be published, and the project's own.

Every crate that is published: README.md, CHANGELOG.md, both licence texts, and the metadata that
crates.io shows. Every Rust, Python, shell and assembly file: an SPDX header.
The coverage configurations: upstream's schema, the same for every platform
except for the score. CODEOWNERS: an owner for every crate.
"""

import json
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
FILES = ["README.md", "CHANGELOG.md", "LICENSE-APACHE", "LICENSE-BSD-3-Clause"]
METADATA = [
    "authors", "categories", "description", "keywords", "license", "readme",
    "repository", "rust_version",
]
SOURCES = {".rs", ".py", ".sh", ".S", ".c", ".h", ".ld"}
COVERAGE = {"coverage_score": (int, float), "exclude_path": str}
COVERAGE_OPTIONAL = {"crate_features": str}


def crates():
    """Every crate that is published has its files and its metadata."""
    metadata = subprocess.check_output(
        ["cargo", "metadata", "--format-version=1", "--no-deps", "--locked"], cwd=ROOT
    )
    owners = (ROOT / "CODEOWNERS").read_text()
    for package in json.loads(metadata)["packages"]:
        name = package["name"]
        if package["publish"] == []:
            continue
        folder = pathlib.Path(package["manifest_path"]).parent
        for file in FILES:
            path = folder / file
            if not path.is_file() or not path.stat().st_size:
                yield f"{name} has no {file}"
        for key in METADATA:
            if not package[key]:
                yield f"{name} has no `{key}` in its Cargo.toml"
        if f"\n/{folder.relative_to(ROOT)}/ " not in owners:
            yield f"{name} has no line in CODEOWNERS"


def headers():
    """Every source file says under which licence it stands."""
    listed = subprocess.check_output(["git", "ls-files"], cwd=ROOT, text=True)
    for line in listed.splitlines():
        path = ROOT / line
        if path.suffix in SOURCES and path.is_file():
            head = path.read_text(errors="replace")[:400]
            if "SPDX-License-Identifier: " not in head:
                yield f"{line} has no SPDX header"


def coverage():
    """The coverage configurations follow upstream's schema."""
    shared = set()
    for platform in (ROOT / ".platform").read_text().split():
        name = f"coverage_config_{platform}.json"
        try:
            config = json.loads((ROOT / name).read_text())
        except (OSError, ValueError) as error:
            yield f"{name}: {error}"
            continue
        known = {**COVERAGE, **COVERAGE_OPTIONAL}
        for key, kind in known.items():
            if key in config and not isinstance(config[key], kind):
                yield f"{name}: `{key}` is of the wrong type"
        for key in COVERAGE.keys() - config.keys():
            yield f"{name}: `{key}` is missing"
        for key in config.keys() - known.keys():
            yield f"{name}: unknown key `{key}`"
        if not 0 < config.get("coverage_score", 0) <= 100:
            yield f"{name}: `coverage_score` is no percentage"
        re.compile(config.get("exclude_path", ""))
        shared.add((config.get("exclude_path"), config.get("crate_features")))
    if len(shared) > 1:
        yield "the coverage configurations differ in more than the score"


def main():
    problems = [*crates(), *headers(), *coverage()]
    for problem in problems:
        print(f"crate files: {problem}", file=sys.stderr)
    if problems:
        sys.exit(1)
    print("crate files: complete")


if __name__ == "__main__":
    main()
