#!/usr/bin/env python3
"""Breaks real kernels one way at a time and asks the tests that run them whether they notice.

  tests/gpusim/mutation/mutate.py                     # run what the table does not know yet
  tests/gpusim/mutation/mutate.py --again             # and those that survived
  tests/gpusim/mutation/mutate.py --check             # hold the table against today's sources; runs nothing

Wants a built `cuda` preset. All mutants that can be decided at run time (mutants.py) are compiled into one plug-in, in
build/mutants/, which the emulator tells by %envreg0 which of them to be; the others are built one by one. First every
case of the conformance suite runs once without a mutant, and the emulator says of which files it ran device code: a
mutant is put before those cases, for no other can tell it. Code of the host is put before everything, that of groups of
GPUs on two. What orders threads, warps and streams is asked under all seeds, anything else under the first: fewer
questions let more survive and kill nothing. Odd seeds run on a slice of a card with one multiprocessor, where blocks go
round more than once. A mutant is killed where a test fails or the emulator reports anything,
`endless` where that takes more than ten times the processor time it should; a busy machine makes neither. The verdicts
are kept in results.tsv after each, so that a run may be ended and begun again; a line of source that did not change
keeps its verdict. survivors.tsv names the reason of each survivor: `same` where no run could tell it from the kernel,
which are not counted, `missed` where one could and none does.
"""
import argparse
import collections
import concurrent.futures
import dataclasses
import json
import os
import pathlib
import re
import resource
import signal
import subprocess
import sys

import mutants

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[2]
KERNELS = ROOT / "kernels" / "cuda"
RESULTS, SURVIVORS = HERE / "results.tsv", HERE / "survivors.tsv"
LEAST = 95  # percent that must be killed

KILLED = ("killed", "endless")
# What orders threads, warps, blocks and streams, and then bounds, is tried first.
ORDER = ("barrier", "fence", "wait", "atomic", "mask")
FIRST = (*ORDER, "bound")
SUITE = "cuda_conformance_test"
PROGRAMS = (SUITE, "cuda_round_test", "cuda_policy_test")
GROUP = ("group.cc", "group_memory.cc", "nccl.cc", "spread.cc")  # code of several GPUs
LEAST_SECONDS = 20  # of processor time, however little a test needs
PATIENCE = 3600  # seconds until a test that neither ends nor computes is given up, without a verdict
# Of a header that must be built anew: the kernels that show it. Of others all that include it.
USERS = {"values.cuh": ["sketch.cu", "gram_values.cu"], "words.cuh": ["gram_codes.cu", "gram_gemm.cu"],
         "decode.cuh": ["accumulate.cu", "grid_norm.cu"]}  # fmt: skip
HEADER = """#pragma once
#include <stdlib.h>
__attribute__((unused)) static inline int muster_mutant_of_host() {
  static const int number = getenv("GPUSIM_ENVREG0") ? atoi(getenv("GPUSIM_ENVREG0")) : 0;
  return number;
}
#ifdef __CUDACC__
template <class T, class V>
__device__ __forceinline__ T muster_plain_add(T* target, V added) {
  const T before = *target;
  *target = before + added;
  return before;
}
#endif
#ifdef __CUDA_ARCH__
__device__ __forceinline__ int muster_mutant() { int i; asm("mov.u32 %0, %%envreg0;" : "=r"(i)); return i; }
#define MUTANT(i) (muster_mutant() == (i))
#else
#define MUTANT(i) (muster_mutant_of_host() == (i))
#endif
"""


def sources_now() -> dict[str, str]:
    """The sources by name. Read once: they may change while this runs."""
    return {p.name: p.read_text() for p in sorted(KERNELS.iterdir()) if p.suffix in (".cu", ".cuh", ".cc", ".h")}


def all_mutants(texts: dict[str, str]) -> dict[str, mutants.Mutant]:
    found = {}
    for name, text in texts.items():
        if name.endswith(".h"):
            continue  # declarations
        seen = collections.Counter()
        for m in mutants.mutants_of(name, text):
            seen[m.what, m.shown] += 1
            found[m.key(seen[m.what, m.shown])] = m
    return found


def read_table(path: pathlib.Path) -> dict[str, str]:
    """Verdicts by the key of their mutant."""
    if not path.exists():
        return {}
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return {line.split("\t", 1)[1]: line.split("\t", 1)[0] for line in lines}


def read_reasons() -> dict[str, str]:
    """`same` or `missed` by the key of a survivor; the reason itself is for who reads the file."""
    lines = [line for line in SURVIVORS.read_text().splitlines() if line and not line.startswith("#")]
    kinds = {}
    for line in lines:
        key, kind, reason = line.split("\t")
        if kind not in ("same", "missed") or not reason:
            sys.exit(f"{SURVIVORS.name}: neither same nor missed, or without a reason: {line}")
        kinds[key] = kind
    return kinds


def write_results(verdicts: dict[str, str], known: dict[str, mutants.Mutant]) -> None:
    lines = [f"{verdicts[key]}\t{key}" for key in known if key in verdicts]
    RESULTS.write_text("# verdict, mutant: by mutate.py, which keeps them while a line stays what it is\n"
                       + "\n".join(lines) + "\n")  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Question:
    """A program of build/cuda/gpusim, and which of its cases."""

    program: str = SUITE
    cases: str = "*"
    devices: int = 1


WHOLE = (Question("cuda_policy_test"), Question("cuda_round_test"))


class Workshop:
    """The plug-in with the mutants in it, and one for each that the compiler must know."""

    def __init__(self, build: pathlib.Path, texts: dict[str, str], known: dict[str, mutants.Mutant]):
        self.build, self.texts, self.known = build, texts, known
        self.folder = build.parent / "mutants"
        self.numbers = {key: i for i, key in enumerate(known, 1)}
        commands = subprocess.run(["ninja", "-C", build, "-t", "commands", "muster_cuda_ptx"], check=True,
                                  capture_output=True, text=True).stdout.splitlines()  # fmt: skip
        self.compile = {}
        for line in commands:
            if (match := re.search(r" -c \S*/kernels/cuda/(\w+\.(?:cu|cc))(?: |$)", line)) and "cuda_ptx" in line:
                self.compile[match[1]] = line
        self.link = next(line for line in commands if "-o gpusim/libmuster_cuda.so" in line)

    def command(self, name: str, sources: pathlib.Path, target: pathlib.Path) -> str:
        line = self.compile[name].replace("-Werror all-warnings", "").replace("-Werror", "")
        line = re.sub(r"-Xptxas=\S+", "", line)
        line = re.sub(r" -o \S+", f" -o {target}", line)
        line = re.sub(r"-MD -MT \S+ -MF \S+", "", line)
        line = re.sub(r" -c \S*/kernels/cuda/\S+", f" -c {sources}/kernels/cuda/{name}", line)
        return line.replace(f"-I{ROOT}", f"-I{sources} -I{ROOT} -include {sources}/mutant.h -w", 1)

    def write_sources(self, sources: pathlib.Path, text_of) -> None:
        (sources / "kernels/cuda").mkdir(parents=True, exist_ok=True)
        (sources / "mutant.h").write_text(HEADER)
        for name, text in self.texts.items():
            (sources / "kernels/cuda" / name).write_text(text_of(name, text))

    def run(self, command: str) -> subprocess.CompletedProcess:
        return subprocess.run(command, shell=True, cwd=self.build, capture_output=True, text=True)

    def link_to(self, folder: pathlib.Path, objects: dict[str, pathlib.Path]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        line = self.link.replace("-o gpusim/libmuster_cuda.so", f"-o {folder}/libmuster_cuda.so")
        for name, path in objects.items():
            line = re.sub(rf"kernels/cuda/CMakeFiles/\S+/{re.escape(name)}\.o", str(path), line)
        done = self.run(line)
        if done.returncode:
            sys.exit(done.stdout + done.stderr)
        # They load the plug-in that lies beside them.
        for name in PROGRAMS:
            program = folder / name
            program.unlink(missing_ok=True)
            program.hardlink_to(self.build / "gpusim" / name)

    def build_all(self, jobs: int) -> None:
        """The plug-in with every live mutant. What does not compile is not live after all."""
        sources, dead = self.folder / "src", set()
        objects = {name: self.folder / "obj" / f"{name}.o" for name in self.compile}
        (self.folder / "obj").mkdir(parents=True, exist_ok=True)

        def text_of(name, text):
            return mutants.instrumented(text, [(self.numbers[key], m) for key, m in self.known.items()
                                               if m.file == name and m.live and key not in dead])  # fmt: skip

        open_names = list(self.compile)
        while open_names:
            self.write_sources(sources, text_of)
            with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
                done = list(pool.map(lambda n: self.run(self.command(n, sources, objects[n])), open_names))
            failed = [(n, d) for n, d in zip(open_names, done) if d.returncode]
            touched = set()
            for name, result in failed:
                places = set(re.findall(r"(\w+\.(?:cuh?|cc))[(:](\d+)\)?:(?:\d+:)? error", result.stdout + result.stderr))
                more = {key for key, m in self.known.items() if (m.file, str(m.line)) in places and m.live} - dead
                if not more:
                    sys.exit(f"{name} does not compile:\n{result.stdout}{result.stderr}")
                print(f"{name}: not live after all: {sorted(more)}", flush=True)
                dead |= more
                touched |= {self.known[key].file for key in more}
            open_names = list(self.compile) if any(t.endswith(".cuh") for t in touched) else [n for n, _ in failed]
        self.objects = objects
        self.late = dead | {key for key, m in self.known.items() if not m.live}
        self.link_to(self.folder / "run", objects)

    def users(self, file: str) -> list[str]:
        if not file.endswith(".cuh"):
            return [file]
        return USERS.get(file) or [n for n, text in self.texts.items() if n in self.compile and f'/{file}"' in text]

    def build_one(self, key: str) -> pathlib.Path | None:
        m = self.known[key]
        folder = self.folder / "one" / str(self.numbers[key])
        self.write_sources(folder, lambda name, text: mutants.broken(text, m) if name == m.file else text)
        objects = dict(self.objects)
        for name in self.users(m.file):
            objects[name] = folder / f"{name}.o"
            if self.run(self.command(name, folder, objects[name])).returncode:
                return None
        self.link_to(folder, objects)
        return folder

    def answer(self, folder: pathlib.Path, number: int, question: Question, seed: int, seconds: float,
               traffic: str = "") -> str:
        """`passed`, `killed` or `endless` within so much processor time; `unknown` where nothing happened at all."""
        environment = dict(os.environ, LD_LIBRARY_PATH=str(self.build / "gpusim"), GPUSIM_SEED=str(seed),
                           GPUSIM_DEVICES=str(question.devices), GPUSIM_ENVREG0=str(number), GPUSIM_TRAFFIC=traffic,
                           GPUSIM_SMS=str(seed % 2))

        def limit():
            resource.setrlimit(resource.RLIMIT_CPU, (int(seconds) + 1, int(seconds) + 2))

        command = [folder / question.program, f"--gtest_filter={question.cases}", "--gtest_fail_fast"]
        try:
            status = subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                    cwd=self.folder, preexec_fn=limit, timeout=PATIENCE).returncode
        except subprocess.TimeoutExpired:
            return "unknown"
        if status in (-signal.SIGXCPU, -signal.SIGKILL):
            return "endless"
        return "passed" if status == 0 else "killed"

    def learn(self, seed: int) -> None:
        """Which cases of the suite run device code of which file."""
        environment = dict(os.environ, LD_LIBRARY_PATH=str(self.build / "gpusim"))
        listed = subprocess.run([self.folder / "run" / SUITE, "--gtest_list_tests"], check=True, capture_output=True,
                                env=environment, text=True).stdout  # fmt: skip
        traffic = self.folder / "traffic.json"
        self.cost, self.files_of = {}, {}
        for name in re.findall(r"^  (\S+)", listed, re.MULTILINE):
            case = Question(cases=f"*.{name}")
            self.check(case, seed, str(traffic))
            self.files_of[case] = {pathlib.Path(line["file"]).name
                                   for kernel in json.loads(traffic.read_text())["kernels"]
                                   for line in kernel["lines"]}  # fmt: skip

    def check(self, question: Question, seed: int, traffic: str = "") -> None:
        """Without a mutant, once: it passes, and costs so much."""
        if (question, seed) in self.cost:
            return

        def spent():
            usage = resource.getrusage(resource.RUSAGE_CHILDREN)
            return usage.ru_utime + usage.ru_stime

        begin = spent()
        if self.answer(self.folder / "run", 0, question, seed, PATIENCE, traffic) != "passed":
            raise RuntimeError(f"fails without any mutant: {question}, seed {seed}")
        self.cost[question, seed] = spent() - begin

    def questions(self, file: str, seed: int) -> list[Question]:
        """What cost least when it was learned comes first."""
        cases = sorted(self.files_of, key=lambda case: self.cost[case, seed])
        if file in GROUP:
            return [dataclasses.replace(question, devices=2) for question in (*cases, *WHOLE)]
        own = [case for case in cases if file in self.files_of[case]]
        return [*(own or cases), *WHOLE]

    def verdict(self, key: str, seeds: list[int]) -> str:
        folder, number = self.folder / "run", self.numbers[key]
        if key in self.late:
            if (folder := self.build_one(key)) is None:
                return "no code"
            number = 0
        mutant = self.known[key]
        orders = any(word in mutant.what for word in ORDER)
        for seed in seeds if orders else seeds[:1]:
            for question in self.questions(mutant.file, seeds[0]):
                self.check(question, seed)
                limit = max(LEAST_SECONDS, 10 * self.cost[question, seed])
                if (answer := self.answer(folder, number, question, seed, limit)) != "passed":
                    return answer
        return "SURVIVED"


def urgency(mutant: mutants.Mutant) -> int:
    return next((i for i, word in enumerate(FIRST) if word in mutant.what), len(FIRST))


def summary(verdicts: dict[str, str], known: dict[str, mutants.Mutant]) -> int:
    reasons = read_reasons()
    survived = [key for key in known if verdicts.get(key) == "SURVIVED"]
    silent = [key for key in survived if key not in reasons]
    for key in silent:
        print(f"survives without a reason in {SURVIVORS.name}: {key}")
    for key in reasons:
        if key not in survived:
            print(f"has a reason in {SURVIVORS.name} and does not survive: {key}")
    count = collections.Counter(verdicts.get(key, "not tried") for key in known)
    same = sum(reasons.get(key) == "same" for key in survived)
    counted = len(known) - count["no code"] - same
    share = 100 * sum(count[verdict] for verdict in KILLED) / max(counted, 1)
    print(f"{len(known)} mutants: {count['killed']} killed, {count['endless']} never ended, {len(survived)} survived,"
          f" {same} of them the same as the kernel, {count['no code']} do not compile, {count['not tried']} not tried:"
          f" {share:.1f} % killed of the {counted} that can be told from it, {LEAST} asked")  # fmt: skip
    return 0 if share >= LEAST and not silent else 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build/cuda")
    parser.add_argument("--only", metavar="REGEX", default="", help="mutants whose name has this in it")
    parser.add_argument("--again", action="store_true", help="also those that survived before")
    parser.add_argument("--seeds", default="3,0,2", help="of the emulator, asked in turn")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()

    texts = sources_now()
    known = all_mutants(texts)
    verdicts = {key: verdict for key, verdict in read_table(RESULTS).items() if key in known}
    if options.list:
        print("\n".join(f"{verdicts.get(key, '-')}\t{m.file}:{m.line}\t{m.what}\t{m.shown}" for key, m in known.items()))
        return 0
    if options.check:
        return summary(verdicts, known)

    seeds = [int(s) for s in options.seeds.split(",")]
    workshop = Workshop(options.build.resolve(), texts, known)
    workshop.build_all(options.jobs)
    workshop.learn(seeds[0])
    todo = [key for key in known if re.search(options.only, key)
            and (key not in verdicts or options.again and verdicts[key] == "SURVIVED")]  # fmt: skip
    todo.sort(key=lambda key: (key in workshop.late, urgency(known[key])))  # what needs a build last
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        asked = {pool.submit(workshop.verdict, key, seeds): key for key in todo}
        for done, future in enumerate(concurrent.futures.as_completed(asked), 1):
            key = asked[future]
            answer = future.result()
            print(f"[{done}/{len(todo)}] {answer:8} {known[key].line}: {key}", flush=True)
            if answer != "unknown":
                verdicts[key] = answer
                write_results(verdicts, known)
    return summary(verdicts, known)


if __name__ == "__main__":
    sys.exit(main())
