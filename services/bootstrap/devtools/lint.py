"""Every check that needs no running server: `./erx lint [--fix] [step ...]`.

All steps run, also after one has failed, so that one call shows everything there is to mend.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bootstrap.checkout import ROOT, TOOLS


@dataclass(frozen=True, slots=True)
class Step:
    """A named check; its command prints what is wrong and ends with a status other than 0."""

    name: str
    command: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a step said, and how long it took."""

    step: Step
    passed: bool
    seconds: float
    output: str


def module(name: str, *arguments: str) -> tuple[str, ...]:
    """Return the command that runs a module in this environment."""
    return (sys.executable, "-P", "-m", name, *arguments)


STEPS = (
    Step("ruff", (str(TOOLS / "ruff"), "check", "--quiet", "--output-format", "concise", ".")),
    Step("format", (str(TOOLS / "ruff"), "format", "--check", "--quiet", ".")),
    Step("mypy", (str(TOOLS / "mypy"), "--no-error-summary")),
    Step("imports", (str(TOOLS / "lint-imports"), "--no-logo")),
    Step("protos", module("bootstrap.devtools.protos", "lint")),
    Step("breaking", module("bootstrap.devtools.protos", "breaking")),
    Step("generated", module("bootstrap.devtools.gen", "--check")),
    Step("schemas", module("bootstrap", "schemas", "check")),
    Step("docs", module("bootstrap.devtools.docs", "--check")),
    Step("house", module("bootstrap.devtools.house")),
)
FIXES = (
    Step("ruff --fix", (str(TOOLS / "ruff"), "check", "--fix", "--quiet", ".")),
    Step("format", (str(TOOLS / "ruff"), "format", "--quiet", ".")),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the steps and print one line for each, then what the failed ones said."""
    names = [step.name for step in STEPS]
    parser = argparse.ArgumentParser(prog="erx lint", description="Run every check that needs no running server.")
    parser.add_argument("step", nargs="*", metavar="step", help=f"only these: {', '.join(names)}")
    parser.add_argument("--fix", action="store_true", help="first mend what ruff can mend")
    arguments = parser.parse_args(argv)
    if unknown := set(arguments.step) - set(names):
        parser.error(f"no step {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    steps = [step for step in STEPS if not arguments.step or step.name in arguments.step]
    return report([*FIXES, *steps] if arguments.fix else steps, run, print)


def report(steps: Sequence[Step], run_step: Callable[[Step], Outcome], tell: Callable[[str], None]) -> int:
    """Run the steps in order and tell each outcome; the status is 1 if one failed."""
    failed: list[Outcome] = []
    started = time.monotonic()
    for step in steps:
        outcome = run_step(step)
        tell(f"{'ok  ' if outcome.passed else 'FAIL'}  {step.name:<11} {outcome.seconds:6.1f} s")
        if not outcome.passed:
            failed.append(outcome)
            tell(outcome.output.rstrip() or "(it printed nothing)")
    seconds = time.monotonic() - started
    if failed:
        tell(f"lint: {len(failed)} of {len(steps)} failed in {seconds:.1f} s: {', '.join(o.step.name for o in failed)}")
        return 1
    tell(f"lint: {len(steps)} passed in {seconds:.1f} s")
    return 0


def run(step: Step) -> Outcome:
    """Run one step from the top of the checkout, its tools found in this environment first."""
    search = os.pathsep.join((str(TOOLS), os.environ.get("PATH", "")))
    started = time.monotonic()
    done = subprocess.run(
        step.command,
        cwd=ROOT,
        env={**os.environ, "PATH": search},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return Outcome(step, done.returncode == 0, time.monotonic() - started, done.stdout)


if __name__ == "__main__":
    sys.exit(main())
