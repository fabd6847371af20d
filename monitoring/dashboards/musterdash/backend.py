"""Backend and GPU: what computes, how long each operation takes, memory, errors."""

from .page import BAD, GOOD, WARN, Page
from .query import mean, quantile, rate, series, spread, total

KERNEL = "muster_kernel_duration_seconds"


def build():
    page = Page("muster-backend", "What computes, and how long it takes: operations of the "
                "backend, its memory, copies to and from the GPU, errors. Whole-GPU telemetry "
                "(clocks, power, temperature) is DCGM exporter's: look the node up there.")
    what(page)
    operations(page)
    memory(page)
    return page.build()


def what(page):
    page.row("What computes")
    info = f"count by (kind, device, kernels) ({series('muster_backend_info')})"
    page.stat("Backend", "Kind, device, and instruction set or chip. The results are the same "
              "bytes on all.", "none", [(info, "{{kind}}: {{device}}, {{kernels}}")], size=(12, 4),
              low=1, graph=False, by_name=True)
    page.stat("Fallbacks to the CPU", "Servers that found a GPU at start and could not use it. "
              "Their rounds are right, and slow.", "none",
              [(total(series("muster_backend_fallbacks_total")), "fallbacks")], size=(6, 4), low=0,
              graph=False, colours=((None, GOOD), (1, WARN)))
    page.stat("GPU errors", "Errors since the start, by class. A failed launch ends the process; the "
              "round resumes from the spool.", "none",
              [(total(series("muster_gpu_errors_total"), "class"), "{{class}}")], size=(6, 4),
              low=0, graph=False, colours=((None, GOOD), (1, BAD)))


def operations(page):
    page.row("Operations")
    page.time("Time by operation", "Seconds a second that the engine spends in each operation: 1 "
              "is a thread that does nothing else. On a GPU work is queued and shows as wait.",
              "percentunit", [(spread(f"{KERNEL}_sum", "kernel"), "{{kernel}}")], stack=True,
              size=(12, 9))
    page.time("Mean time of an operation", "Grows with cohort, model and chunk size. A step up at "
              "the same load is a slower device or a busier machine.", "s",
              [(mean(KERNEL, by=("kernel",)), "{{kernel}}")], size=(12, 9), log=True, low=None)
    page.time("Slowest operations, p99", "99 of 100 calls were faster.", "s",
              [(quantile(0.99, KERNEL, by=("kernel",)), "{{kernel}}")], log=True, low=None)
    page.time("Calls", "Operations started a second.", "ops",
              [(spread(f"{KERNEL}_count", "kernel"), "{{kernel}}")])
    page.time("Copies", "Bytes a second between host and backend memory. Codes go to the device "
              "still compressed; models come back.", "binBps",
              [(rate("muster_copy_bytes_total", by=("direction",)), "{{direction}}")])


def memory(page):
    page.row("Memory and processor")
    page.time("Backend memory", "Held by rounds: GPU memory, or host memory with the CPU backend.",
              "bytes", [(total(series("muster_device_memory_used_bytes"), "instance"),
                         "{{instance}}")])
    page.time("Pinned pool", "Page-locked memory taken at start, and what updates hold of it. "
              "Zero with the CPU backend.", "bytes",
              [(total(series("muster_pinned_pool_used_bytes"), "instance"), "{{instance}} in use"),
               (total(series("muster_pinned_pool_bytes"), "instance"), "{{instance}} pool")])
    page.time("Processor cores in use", "User and system time a second, by server: ingest, engine "
              "and CPU backend together.", "none",
              [(rate("muster_process_cpu_seconds_total", by=("instance",)), "{{instance}}")],
              decimals=2)
