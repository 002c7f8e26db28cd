#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0 OR BSD-3-Clause
"""Runs the tests of a description on this machine, one after the other.

    run.py test                 everything in test_description.json
    run.py check clippy doc     these two of check_description.json
    run.py --list check         their names and commands

The descriptions have the format of rust-vmm-ci's: a test has a name, a command,
optionally the platforms (machine architectures) it runs on and a time limit.
Tests of other platforms are left out; `.platform` lists those of this project.
The first test that fails ends the run, and is named last.
"""

import argparse
import json
import os
import pathlib
import platform
import signal
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
DEFAULT_TIMEOUT_IN_MINUTES = 15


def load(kind):
    """The tests of a description that run on this machine."""
    machine = platform.machine()
    if machine not in (ROOT / ".platform").read_text().split():
        sys.exit(f"run.py: {machine} is not in .platform")
    tests = json.loads((HERE / f"{kind}_description.json").read_text())["tests"]
    for test in tests:
        test["command"] = test["command"].replace("{target_platform}", machine)
    return [test for test in tests if machine in test.get("platform", [machine])]


def run(test):
    """Runs one test and returns what went wrong, or None."""
    limit = 60 * test.get("timeout_in_minutes", DEFAULT_TIMEOUT_IN_MINUTES)
    # A session of its own, so that a test that hangs goes with all its children.
    child = subprocess.Popen(
        ["bash", "-euo", "pipefail", "-c", test["command"]],
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        status = child.wait(timeout=limit)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
        return f"took longer than {limit // 60} minutes"
    except KeyboardInterrupt:
        os.killpg(child.pid, signal.SIGTERM)
        raise
    return f"exit status {status}" if status else None


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--list", action="store_true", help="print, do not run")
    parser.add_argument("kind", choices=["check", "test", "nightly"])
    parser.add_argument("name", nargs="*", help="tests to run (default: all)")
    args = parser.parse_args()

    tests = load(args.kind)
    unknown = set(args.name) - {test["test_name"] for test in tests}
    if unknown:
        parser.error(f"no such test on this machine: {', '.join(sorted(unknown))}")
    if args.name:
        tests = [test for test in tests if test["test_name"] in args.name]

    for test in tests:
        name = test["test_name"]
        if args.list:
            print(f"{name}: {test['command']}")
            continue
        print(f"==> {name}: {test['command']}", flush=True)
        start = time.monotonic()
        problem = run(test)
        seconds = time.monotonic() - start
        if problem:
            print(f"<== {name} FAILED after {seconds:.0f} s: {problem}", flush=True)
            sys.exit(1)
        print(f"<== {name} ok, {seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main()
