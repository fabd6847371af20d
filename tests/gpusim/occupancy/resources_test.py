#!/usr/bin/env python3
"""resources_test.py GPU_RESOURCES: that the resource check fails for what it is there to find."""
import pathlib
import subprocess
import sys
import tempfile
import unittest

PROGRAM = sys.argv.pop(1)
CHIPS = (75, 80, 90, 100)


def entry(chip: int, registers: int = 40, stack: int = 0, spills: int = 0, smem: int = 0) -> str:
    shared = f", {smem} bytes smem" if smem else ""
    return (f"ptxas info    : Compiling entry function '_Z6kernelv' for 'sm_{chip}'\n"
            f"ptxas info    : Function properties for _Z6kernelv\n"
            f"    {stack} bytes stack frame, {spills} bytes spill stores, 0 bytes spill loads\n"
            f"ptxas info    : Used {registers} registers, used 1 barriers{shared}\n")  # fmt: skip


class Resources(unittest.TestCase):
    def run_on(self, log: str, budget: str = "* 256 0 128 49152 25\n") -> tuple[int, str]:
        with tempfile.TemporaryDirectory() as folder:
            (pathlib.Path(folder) / "budget").write_text(budget)
            (pathlib.Path(folder) / "log").write_text(log)
            done = subprocess.run([PROGRAM, f"{folder}/budget", f"{folder}/log"], capture_output=True, text=True)
        return done.returncode, done.stdout

    def refused(self, why: str, log: str, **budget) -> None:
        code, text = self.run_on(log, **budget)
        self.assertEqual(code, 1, text)
        self.assertIn(why, text)

    def all_chips(self, **but_sm_90) -> str:
        return "".join(entry(chip, **(but_sm_90 if chip == 90 else {})) for chip in CHIPS)

    def test_passes_what_is_within(self):
        self.assertEqual(self.run_on(self.all_chips())[0], 0)

    def test_a_spill_fails(self):
        self.refused("spills: 8", self.all_chips(spills=8))

    def test_local_memory_fails(self):
        self.refused("stack: 16", self.all_chips(stack=16))

    def test_registers_and_shared_memory_have_limits(self):
        self.refused("registers: 129", self.all_chips(registers=129))
        self.refused("static shared memory: 49156", self.all_chips(smem=49156))

    def test_occupancy_has_a_floor(self):
        self.refused("occupancy: 25 %", self.all_chips(registers=128), budget="* 256 0 128 49152 50\n")

    def test_each_kernel_is_there_for_each_chip(self):
        self.refused("not compiled for sm_100", "".join(entry(chip) for chip in CHIPS[:-1]))

    def test_nothing_compiled_is_no_success(self):
        self.refused("nothing in", "")

    def test_a_line_without_a_kernel_fails(self):
        self.refused("a budget without a kernel: gone", self.all_chips(),
                     budget="* 256 0 128 49152 25\ngone 256 0 64 0 50\n")  # fmt: skip


if __name__ == "__main__":
    unittest.main()
