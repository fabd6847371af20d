#!/usr/bin/env python3
"""Breaks real kernels one way at a time and asks the tests whether they notice.

  tests/gpusim/mutate.py kernels/cuda/*.cu* kernels/cuda/*.cc \\
      --build 'ninja -C build/cuda cuda_checks' --test 'ctest --preset cuda -R conformance'

Each mutant is one place of one file: a barrier or fence left out, an atomic made a plain update, a bound or
comparison moved by one, a warp mask cut, an event wait left out. A mutant that does not compile does not count;
a failing test kills one. Files are restored after each, also when interrupted. The last line says how many were
killed; the survivors stand before it with their line, for a person to name the reason. Without --test the
mutants are only listed.
"""
import argparse
import dataclasses
import pathlib
import re
import subprocess
import sys

# What to look for, what to put there, and what it is called.
RULES = [
    ("barrier removed", r"\b__syncthreads\(\);", ";"),
    ("warp barrier removed", r"\b__syncwarp\([^;]*\);", ";"),
    ("fence removed", r"\b__threadfence(?:_block)?\(\);", ";"),
    ("copy wait removed", r"\b__pipeline_wait_prior\([^;]*\);", ";"),
    ("atomic made plain", r"\batomicAdd\(&\s*([^;]*?),\s*([^,;]+)\);", r"\1 += \2;"),
    ("atomic made plain", r"\batomicAdd\((?!&)([^;]*?),\s*([^,;]+)\);", r"*(\1) += \2;"),
    ("mask cut", r"\b0xffffffffu?\b", "0x7fffffffu"),
    ("bound widened", r"(?<=[\w\]\)]) < (?=[\w\(])(?![^;\n]*>\()", " <= "),
    ("bound narrowed", r"(?<=[\w\]\)]) <= (?=[\w\(])", " < "),
    ("comparison turned", r"(?<=[\w\]\)]) == (?=[\w\(])", " != "),
    ("condition dropped", r"&& (?=[\w!])[^&|;{}\n]+?(?=\) )", ""),
    ("step off by one", r"\+ 1\b(?!\.)", "+ 2"),
    ("shift off by one", r">> (\d+)\b", lambda m: f">> {int(m[1]) + 1}"),
    ("event wait removed", r"\bMUSTER_CUDA\(cudaStreamWaitEvent\([^;]*\);", ";"),
]


@dataclasses.dataclass
class Mutant:
    path: pathlib.Path
    line: int
    what: str
    text: str  # of the whole file
    shown: str  # the line before


def code_only(line: str) -> bool:
    stripped = line.strip()
    return not stripped.startswith(("//", "#", "*", "template", "static_assert"))


def mutants_of(path: pathlib.Path) -> list[Mutant]:
    source = path.read_text()
    found = []
    for what, pattern, replacement in RULES:
        for match in re.finditer(pattern, source):
            begin = source.rfind("\n", 0, match.start()) + 1
            line = source[begin : source.find("\n", match.start())]
            if not code_only(line) or "//" in source[begin : match.start()]:
                continue
            new = match.expand(replacement) if isinstance(replacement, str) else replacement(match)
            text = source[: match.start()] + new + source[match.end() :]
            found.append(Mutant(path, source.count("\n", 0, match.start()) + 1, what, text, line.strip()))
    return found


def succeeds(command: str, limit: float) -> bool:
    try:
        quiet = subprocess.DEVNULL
        return subprocess.run(command, shell=True, stdout=quiet, stderr=quiet, timeout=limit).returncode == 0
    except subprocess.TimeoutExpired:
        return False  # what never ends is noticed


def verdict_of(mutant: Mutant, options: argparse.Namespace) -> str:
    original = mutant.path.read_text()
    try:
        mutant.path.write_text(mutant.text)
        if not succeeds(options.build, options.limit):
            return "no code"
        return "SURVIVED" if succeeds(options.test, options.limit) else "killed"
    finally:
        mutant.path.write_text(original)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=pathlib.Path)
    parser.add_argument("--build", metavar="COMMAND", default="true")
    parser.add_argument("--test", metavar="COMMAND")
    parser.add_argument("--only", metavar="WORD", default="", help="rules whose name has this word")
    parser.add_argument("--limit", type=float, default=1800, help="seconds a command may take")
    parser.add_argument("--least", type=float, default=95, help="percent that must be killed")
    options = parser.parse_args()

    mutants = [m for path in options.files for m in mutants_of(path) if options.only in m.what]
    if options.test is None:
        for m in mutants:
            print(f"{m.path}:{m.line}: {m.what}: {m.shown}")
        print(f"{len(mutants)} mutants")
        return 0
    if not (succeeds(options.build, options.limit) and succeeds(options.test, options.limit)):
        print("the build or the test fails without any mutant", file=sys.stderr)
        return 2
    verdicts = []
    for number, m in enumerate(mutants, 1):
        verdicts.append(verdict_of(m, options))
        print(f"[{number}/{len(mutants)}] {verdicts[-1]:8} {m.path}:{m.line}: {m.what}: {m.shown}", flush=True)
    succeeds(options.build, options.limit)  # leave no mutant's objects behind
    counted = len(verdicts) - verdicts.count("no code")
    share = 100 * verdicts.count("killed") / counted if counted else 100
    print(f"{verdicts.count('killed')} of {counted} mutants killed: {share:.1f} %")
    return 0 if share >= options.least else 1


if __name__ == "__main__":
    sys.exit(main())
