"""Overview: the golden signals of all servers together."""

from .page import BAD, GOOD, WARN, Page
from .query import quantile, rate, series, share, spread, total

RECEIPT = "muster_receipt_duration_seconds"


def build():
    page = Page("muster-overview", "Traffic, errors, latency and saturation of all Muster servers: "
                "what to look at first when something pages.")
    at_a_glance(page)
    traffic(page)
    errors(page)
    latency(page)
    saturation(page)
    process(page)
    return page.build()


def at_a_glance(page):
    page.row("At a glance")
    page.stat("Servers up", "Servers that answered the last scrape. Fewer than you run: see the "
              "runbook of MusterDown.", "none", [(total(series("up")), "up")], low=0,
              colours=((None, BAD), (1, GOOD)))
    unready = f"max by (instance) ({series('muster_unready')})"
    page.stat("Not ready", "Servers whose /readyz says no: draining, disk low, spool fault or GPU "
              "unusable. Their devices are told to come back later.", "none",
              [(total(unready), "not ready")], low=0, colours=((None, GOOD), (1, BAD)))
    firing = series("ALERTS", 'alertname=~"Muster.+"', 'alertstate="firing"')
    page.stat("Alerts firing", "Alerts of Muster that Prometheus holds as firing now.", "none",
              [(f"count({firing}) or vector(0)", "firing")], low=0,
              colours=((None, GOOD), (1, BAD)))
    page.stat("Updates accepted", "Whole, durable, acknowledged updates a second.", "ops",
              [(rate("muster_updates_accepted_total"), "accepted")], low=0)
    page.stat("Refused", "Messages refused, as a share of all answered. A few percent are normal: "
              "devices that come after the round closed.", "percentunit",
              [(refused_share(), "refused")],
              low=0, high=1, decimals=2, colours=((None, GOOD), (0.2, WARN), (0.5, BAD)))
    page.stat("Receipt p99", "99 of 100 updates had their durable receipt within this time after "
              "their last chunk came.", "s", [(quantile(0.99, RECEIPT), "p99")], low=0,
              colours=((None, GOOD), (0.5, WARN), (1.2, BAD)))


def refused_share():
    refused = rate("muster_updates_rejected_total")
    whole = f"({refused} + {rate('muster_updates_received_total')})"
    return share(refused, whole)


def traffic(page):
    page.row("Traffic")
    page.time("Accepted by server", "Whole, durable updates a second.", "ops",
              [(rate("muster_updates_accepted_total", by=("instance",)), "{{instance}}")],
              stack=True)
    page.time("Payload admitted", "Bytes of update payloads a second, by server, as they came: "
              "still encoded and compressed.", "binBps",
              [(rate("muster_ingest_bytes_total", by=("instance",)), "{{instance}}")], stack=True)
    page.time("Open connections", "Devices and gateways connected now, by server.", "none",
              [(total(series("muster_connections"), "instance"), "{{instance}}")], stack=True)


def errors(page):
    page.row("Errors")
    page.time("Refused by reason", "Messages refused a second. Each reason has a sentence and a "
              "remedy in the table of docs/wire.md.", "ops",
              [(spread("muster_updates_rejected_total", "reason"), "{{reason}}")], stack=True)
    strangers = rate("muster_handshakes_total", 'result!="accepted"', by=("result",))
    page.time("Connections turned away or cut", "Handshakes without an enrolled key, and "
              "connections the server ended: too many, or bytes that never became a message.",
              "ops", [(strangers, "handshake: {{result}}"),
                      (rate("muster_connections_cut_total", by=("reason",)), "cut: {{reason}}")])
    loud = rate("muster_log_lines_total", 'level=~"warning|error"', by=("level",))
    page.time("Warnings and errors logged", "Log lines a second by level, and lines left out by "
              "the rate limit of their event. Read them with journalctl or muster log.", "ops",
              [(loud, "{{level}}"), (rate("muster_log_suppressed_total"), "suppressed")])


def latency(page):
    page.row("Latency")
    page.time("Time to a durable receipt", "From an update's last chunk to the receipt that "
              "promises it is on disk. The line at 0.5 s is where MusterReceiptsSlow warns.", "s",
              [(quantile(q, RECEIPT), f"p{q * 100:g}") for q in (0.5, 0.9, 0.99)],
              limits=((0.5, WARN),))
    stages = quantile(0.9, "muster_round_duration_seconds", by=("stage",))
    page.time("Round stages, p90", "Nine of ten rounds spent less than this in the stage. Collect "
              "is waiting for devices; the others are the server's own work.", "s",
              [(stages, "{{stage}}")])
    page.time("Spool sync, p99", "Time the disk takes to make a group of updates durable, by "
              "server. Receipts wait for it.", "s",
              [(quantile(0.99, "muster_spool_sync_duration_seconds", by=("instance",)),
                "{{instance}}")], limits=((0.25, WARN),))


def ratio(part, whole):
    return f"max by (instance) ({series(part)} / {series(whole)})"


def saturation(page):
    page.row("Saturation")
    page.time("Full at 100 %", "Slab: memory for updates in flight. Memory: resident against the "
              "budget printed at start. Descriptors: open files against the limit. The worst "
              "server of each.", "percentunit",
              [(f"max({ratio('muster_inflight_bytes', 'muster_slab_bytes')})", "slab"),
               (f"max({ratio('muster_process_resident_memory_bytes', 'muster_memory_budget_bytes')}"
                ")", "memory"),
               (f"max({ratio('muster_process_open_fds', 'muster_process_max_fds')})",
                "descriptors")], limits=((0.9, WARN),))
    page.time("Time without a free slot", "Share of time in which reading from devices stood "
              "still because the slab was full.", "percentunit",
              [(rate("muster_backpressure_seconds_total", by=("instance",)), "{{instance}}")],
              limits=((0.2, WARN),))
    page.time("Free disk under the spool", "Free bytes by server. Below the low water, drawn as "
              "a line of its own, devices are put off with the reason disk_low.", "bytes",
              [(total(series("muster_spool_free_bytes"), "instance"), "{{instance}}"),
               (f"max({series('muster_spool_low_water_bytes')})", "low water")])


def process(page):
    page.row("Servers")
    page.time("Processor cores in use", "Processor time a second, user and system, by server.",
              "none", [(rate("muster_process_cpu_seconds_total", by=("instance",)),
                        "{{instance}}")], size=(6, 7), decimals=2)
    page.time("Resident memory", "By server. It should level off below the budget.", "bytes",
              [(total(series("muster_process_resident_memory_bytes"), "instance"),
                "{{instance}}")], size=(6, 7))
    page.stat("Uptime", "Since the youngest server started.", "dtdurations",
              [(f"time() - max({series('muster_start_time_seconds')})", "uptime")],
              size=(4, 7), low=0, graph=False)
    page.stat("Tasks", "Models being trained, over all servers.", "none",
              [(total(series("muster_tasks")), "tasks")], size=(4, 7), low=0, graph=False)
    builds = f"count by (version, compiler) ({series('muster_build_info')})"
    page.stat("Builds", "Versions that run. More than one: a roll-out is under way, or stuck.",
              "none", [(builds, "{{version}}, {{compiler}}")], size=(4, 7), low=1, graph=False,
              by_name=True)
    page.time("Threads", "By server. Constant after start.", "none",
              [(total(series("muster_process_threads"), "instance"), "{{instance}}")], size=(6, 7))
    page.time("Time of a scrape", "What the server needed for its /metrics the time before, by "
              "server.", "s", [(f"max by (instance) ({series('muster_scrape_duration_seconds')})",
                                "{{instance}}")], size=(6, 7))
    page.time("Audit records", "Records a second in the audit stream: operator actions, keys, "
              "rounds, releases, privacy spend.", "ops",
              [(rate("muster_audit_records_total", by=("kind",)), "{{kind}}")], size=(6, 7))
    page.stat("Restarts", "Starts of any server in the time range.", "none",
              [(f"sum(changes({series('muster_start_time_seconds')}[$__range]))", "restarts")],
              size=(6, 7), low=0, graph=False, colours=((None, GOOD), (1, WARN), (3, BAD)))
