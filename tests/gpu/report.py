#!/usr/bin/env python3
"""report.py probe: 0 if a CUDA device answers, else says why not and ends with 77.

report.py render FOLDER: FOLDER/report.html from what scripts/gpu-report left there: suite.xml (ctest), bench.json
(muster_gpu_bench), TOOL.log and TOOL.status (compute-sanitizer). Ends with 1 where a test or a tool failed, or where
nothing was measured.
"""
import ctypes
import html
import json
import pathlib
import statistics
import sys
import xml.etree.ElementTree

SKIPPED = 77
TOOLS = ("memcheck", "racecheck", "initcheck", "synccheck")
HBM = 3.35e12  # bytes a second, the data sheet's H100: what docs/gpu.md computes with
STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color:#222}
table{border-collapse:collapse;width:100%}th,td{padding:.25em .6em;text-align:right;border-bottom:1px solid #ddd}
th:first-child,td:first-child{text-align:left}.bad{color:#b00020;font-weight:600}.good{color:#1b6e2c}
.bar{background:#3a6ea5;height:.7em;display:inline-block;border-radius:2px}"""


def probe() -> int:
    """The driver is asked, not the toolkit: what counts is what a plug-in would find."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        why = "this machine has no CUDA driver (libcuda.so.1)"
    else:
        count = ctypes.c_int(0)
        status = driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count))
        if status == 0 and count.value > 0:
            return 0
        why = f"the CUDA driver answers {status}" if status else "the CUDA driver knows no device"
    print(f"gpu-report: {why}: nothing was built, run or measured; docs/gpu.md stays arithmetic", file=sys.stderr)
    return SKIPPED


def suite_rows(path: pathlib.Path) -> tuple[list[tuple[str, str, bool]], bool]:
    """Name, verdict and whether it is good, of each ctest; and whether all are."""
    if not path.exists():
        return [("the suite", "did not run", False)], False
    rows = []
    for case in xml.etree.ElementTree.parse(path).getroot().iter("testcase"):
        failed = case.find("failure") is not None or case.get("status") in ("fail", "disabled")
        skipped = case.find("skipped") is not None or case.get("status") == "notrun"
        verdict = "failed" if failed else "skipped" if skipped else f"passed in {float(case.get('time', 0)):.1f} s"
        rows.append((case.get("name"), verdict, not failed and not skipped))
    return rows, bool(rows) and all(good for _, _, good in rows)


def tool_rows(folder: pathlib.Path) -> tuple[list[tuple[str, str, bool]], bool]:
    rows = []
    for tool in TOOLS:
        status = folder / f"{tool}.status"
        if not status.exists():
            rows.append((tool, "did not run: compute-sanitizer is not installed", True))
            continue
        good = status.read_text().strip() == "0"
        log = (folder / f"{tool}.log").read_text(errors="replace").splitlines()
        last = next((line.strip("= ") for line in reversed(log) if "SUMMARY" in line), "no summary")
        rows.append((tool, last, good))
    return rows, all(good for _, _, good in rows)


def bench_rows(bench: dict) -> list[dict]:
    """Each measurement beside its floors: the bytes at the data sheet's rate, and at the copy rate of this card."""
    rows = []
    copied = bench["copy_bytes_per_second"]
    for row in bench["rows"]:
        ms = statistics.median(row["ms"])
        read_ms = 1e3 * row["bytes"] / copied  # one read of the codes as fast as this card copies
        rows.append({
            "name": f"{row['operation']} {row['codec']}", "gigabytes": row["bytes"] / 1e9,
            "computed_ms": 1e3 * row["bytes"] / HBM, "ms": ms, "spread": (max(row["ms"]) - min(row["ms"])) / ms,
            "share": read_ms / ms, "reads": ms / read_ms, "bar": row["bar_reads"],
            "met": row["bar_reads"] == 0 or ms / read_ms <= row["bar_reads"],
        })  # fmt: skip
    return rows


def table(head: list[str], rows: list[list[str]]) -> str:
    cells = "".join(f"<th>{name}</th>" for name in head)
    body = "".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{cells}</tr>{body}</table>"


def verdict(text: str, good: bool) -> str:
    return f'<span class="{"good" if good else "bad"}">{html.escape(text)}</span>'


def page(folder: pathlib.Path) -> tuple[str, bool]:
    suite, suite_good = suite_rows(folder / "suite.xml")
    tools, tools_good = tool_rows(folder)
    parts = ["<h2>The conformance suite, on the device</h2>",
             table(["test", "verdict"], [[html.escape(n), verdict(v, g)] for n, v, g in suite]),
             "<h2>compute-sanitizer</h2>",
             table(["tool", "verdict"], [[n, verdict(v, g)] for n, v, g in tools])]  # fmt: skip
    measured = folder / "bench.json"
    if measured.exists():
        bench = json.loads(measured.read_text())
        rows = bench_rows(bench)
        parts += [
            f"<h2>Kernels, measured</h2><p>{html.escape(bench['device'])}. n = {bench['n']} rows of {bench['d']:,} "
            f"coordinates. The card copies {bench['copy_bytes_per_second'] / 1e12:.2f} TB/s, reading and writing. "
            "<b>computed</b>: one read of the codes at the 3.35 TB/s of an H100's data sheet; <b>reads</b>: what was "
            "measured, in reads of the codes as fast as this card copies; <b>asked</b>: what the project holds itself "
            "to.</p>",
            table(["kernel", "GB", "computed ms", "measured ms", "spread", "reads", "asked", "share of copy"],
                  [[html.escape(r["name"]), f"{r['gigabytes']:.2f}", f"{r['computed_ms']:.3f}", f"{r['ms']:.3f}",
                    f"{100 * r['spread']:.0f} %", verdict(f"{r['reads']:.2f}", r["met"]),
                    f"{r['bar']:g}" if r["bar"] else "", f"{100 * r['share']:.0f} % "
                    f"<span class='bar' style='width:{min(r['share'], 1) * 6:.2f}em'></span>"] for r in rows]),
        ]  # fmt: skip
    else:
        parts.append("<p class='bad'>Nothing was measured: bench.json is missing.</p>")
    good = suite_good and tools_good and measured.exists()
    head = "Everything that ran passed." if good else "Something failed or did not run: see below."
    return (f"<!doctype html><html lang='en'><meta charset='utf-8'><title>Muster on this GPU</title>"
            f"<style>{STYLE}</style><h1>Muster on this GPU</h1><p>{verdict(head, good)}</p>"
            + "\n".join(parts) + "</html>\n"), good  # fmt: skip


def main(arguments: list[str]) -> int:
    if arguments == ["probe"]:
        return probe()
    if len(arguments) == 2 and arguments[0] == "render":
        folder = pathlib.Path(arguments[1])
        text, good = page(folder)
        (folder / "report.html").write_text(text)
        print(f"{folder / 'report.html'}: {'all good' if good else 'not all good'}")
        return 0 if good else 1
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
