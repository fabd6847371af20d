"""Ingest and durability: from a device's message to the receipt that promises it is on disk."""

from .page import BAD, GOOD, WARN, Page
from .query import buckets, mean, quantile, rate, series, spread, total

RECEIPT = "muster_receipt_duration_seconds"
QUEUE = "muster_ingest_queue_duration_seconds"
COMMIT = "muster_spool_commit_duration_seconds"
SYNC = "muster_spool_sync_duration_seconds"
GROUP = "muster_spool_group_size"


def build():
    page = Page("muster-ingest", "The way of an update from the socket to the disk: rates, "
                "refusals, time to the receipt, memory in flight, and the spool.")
    receipts(page)
    arrivals(page)
    connections(page)
    flow(page)
    spool(page)
    recovery(page)
    return page.build()


def receipts(page):
    page.row("Receipts")
    page.heat("Time to a receipt", "How many receipts a second took how long. Two bands: some wait "
              "for a sync of their own, others join one.", "s",
              [(buckets(RECEIPT), "{{le}}")])
    page.time("Time to a receipt, percentiles", "From an update's last chunk to its durable "
              "receipt.", "s",
              [(quantile(q, RECEIPT), f"p{q * 100:g}") for q in (0.5, 0.9, 0.99, 0.999)],
              limits=((0.5, WARN),))
    page.time("Where the time goes", "Means. Waiting: for the commit to start, so that updates "
              "share a sync. Writing: commit without sync. Sync: the disk.", "s",
              [(mean(QUEUE), "waiting"),
               (f"clamp_min({mean(COMMIT)} - {mean(SYNC)}, 0)", "writing"),
               (mean(SYNC), "sync")], stack=True)


def arrivals(page):
    page.row("Arrivals")
    page.time("Chunks and updates", "Chunks of sound structure received, updates completed, and "
              "chunks that came again, a second. Many again: receipts do not reach the devices.",
              "ops", [(rate("muster_updates_received_total"), "chunks received"),
                      (rate("muster_updates_accepted_total"), "updates accepted"),
                      (rate("muster_updates_duplicate_total"), "chunks again")])
    page.time("Payload by codec", "Bytes a second admitted, as devices encoded them.", "binBps",
              [(spread("muster_ingest_bytes_total", "codec"), "{{codec}}")], stack=True)
    page.time("Refused by reason", "Messages refused a second. Reasons and remedies: docs/wire.md.",
              "ops", [(spread("muster_updates_rejected_total", "reason"), "{{reason}}")],
              stack=True)


def connections(page):
    page.row("Connections")
    page.time("Open connections", "Devices and gateways connected now, by server.", "none",
              [(total(series("muster_connections"), "instance"), "{{instance}}")])
    page.time("Handshakes", "Connections that asked to be let in a second, by the answer. "
              "unknown_key in numbers: a fleet that was not enrolled, or somebody who tries keys.",
              "ops", [(rate("muster_handshakes_total", by=("result",)), "{{result}}")], stack=True)
    page.time("Ended, and replies dropped", "Connections that came to an end, those of them that the "
              "server ended by cause, and replies to peers that were gone or did not read, a second.",
              "ops", [(rate("muster_connections_ended_total"), "ended, by anyone"),
               (rate("muster_connections_cut_total", by=("reason",)), "cut: {{reason}}"),
               (rate("muster_replies_dropped_total"), "reply dropped")])


def flow(page):
    page.row("Memory and flow")
    page.time("Slab", "Memory of updates in flight against all there is. A full slab makes devices "
              "wait; it loses nothing.", "bytes",
              [(total(series("muster_inflight_bytes"), "instance"), "{{instance}} in use"),
               (total(series("muster_slab_bytes"), "instance"), "{{instance}} slab")])
    page.time("Time without a free slot", "Share of time in which reading stood still.",
              "percentunit", [(rate("muster_backpressure_seconds_total", by=("instance",)),
                               "{{instance}}")], limits=((0.2, WARN),))
    page.time("Waiting for the engine", "Durable chunks that the engine has not taken up yet. It "
              "grows while a round is aggregated, and must come down again.", "none",
              [(total(series("muster_arrival_queue_length"), "instance"), "{{instance}}")])


def spool(page):
    page.row("Spool")
    page.time("Bytes made durable", "Bytes a second appended to the spool, headers and padding "
              "included, by server.", "binBps",
              [(rate("muster_spool_append_bytes_total", by=("instance",)), "{{instance}}")],
              stack=True)
    page.time("Commit and sync", "Time of a group commit, and of the sync in it.", "s",
              [(quantile(0.5, COMMIT), "commit p50"), (quantile(0.99, COMMIT), "commit p99"),
               (quantile(0.5, SYNC), "sync p50"), (quantile(0.99, SYNC), "sync p99")],
              limits=((0.25, WARN),))
    page.heat("Records in a commit", "How many commits a second made how many records durable at "
              "once. Larger groups under load are the point of group commit.", "none",
              [(buckets(GROUP), "{{le}}")])
    page.time("Records in a commit, mean", "Close to 1: every update pays for a sync alone.",
              "none", [(mean(GROUP), "mean")], decimals=1)
    page.time("Size of the spool", "Segment files by server. It falls when a round is released "
              "and shredded.", "bytes",
              [(total(series("muster_spool_bytes"), "instance"), "{{instance}}")])
    page.time("Free disk", "Under the spool, by server, and the low water below which updates are "
              "put off.", "bytes",
              [(total(series("muster_spool_free_bytes"), "instance"), "{{instance}}"),
               (f"max({series('muster_spool_low_water_bytes')})", "low water")])


def recovery(page):
    page.row("Faults and recovery")
    page.stat("Sync errors", "Syncs that failed since the start. The first ends the process, so a "
              "number here is rarely seen for long: MusterSpoolSyncErrors and MusterDown page.",
              "none", [(total(series("muster_spool_sync_errors_total")), "errors")], size=(6, 5),
              low=0, colours=((None, GOOD), (1, BAD)))
    page.stat("Not ready, by cause", "1: the cause holds on some server now.", "none",
              [(f"max by (cause) ({series('muster_unready')})", "{{cause}}")], size=(6, 5), low=0,
              high=1, graph=False, colours=((None, GOOD), (1, BAD)))
    page.stat("Last recovery", "Time the last start took to read the spool; the slowest server.",
              "s", [(f"max({series('muster_recovery_duration_seconds')})", "recovery")],
              size=(6, 5), low=0, graph=False)
    page.stat("Dropped by recovery", "Bytes that were written and never acknowledged before the "
              "last start: what a crash may cost. No receipt was given for them.", "bytes",
              [(total(series("muster_recovery_truncated_bytes_total")), "dropped")], size=(6, 5),
              low=0, graph=False)
