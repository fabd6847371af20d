"""Privacy and robustness: budget spent, and what rules and clipping do to updates."""

from .page import BAD, GOOD, WARN, Page
from .query import TASK, buckets, quantile, rate, series, share, spread, total

NORM = "muster_update_norm"


def build():
    page = Page("muster-privacy", "What has been spent of each task's privacy budget, and how many "
                "updates the robust rules had to leave out. Private tasks export nothing that "
                "depends on single devices' data, so they are missing from the lower half.",
                tasks=True)
    budget(page)
    ledger(page)
    robust(page)
    hostile(page)
    return page.build()


def per_task(name):
    return f"max by (task) ({series(name, TASK)})"


def budget(page):
    page.row("Privacy budget")
    spent, limit = (per_task(f"muster_privacy_epsilon_{what}") for what in ("spent", "limit"))
    page.stat("Spent", "Epsilon spent as a share of the limit. At 100 % the task releases nothing "
              "more; nothing but a new decision on the budget helps then.", "percentunit",
              [(share(spent, limit), "{{task}}")], size=(6, 8), low=0, high=1,
              colours=((None, GOOD), (0.8, WARN), (0.95, BAD)))
    page.time("Epsilon", "Spent by everything released so far at the task's delta, and the limit. "
              "It only grows, by a step a release.", "none",
              [(spent, "{{task}}"), (limit, "limit of {{task}}")], size=(10, 8), decimals=2)
    page.stat("Noise multiplier", "Standard deviation of the noise over the sensitivity: how much "
              "one release hides.", "none", [(per_task("muster_privacy_noise_multiplier"),
                                              "{{task}}")],
              size=(4, 8), low=0, decimals=2, graph=False)
    page.stat("Delta", "The delta of the privacy statement. It should be well below one over the "
              "number of devices.", "sci", [(per_task("muster_privacy_delta"), "{{task}}")],
              size=(4, 8), low=0, high=1, graph=False)


def ledger(page):
    page.row("Ledger")
    page.time("Ledger records", "Records appended a second. Each private release is charged before "
              "it can be read: no records while rounds are released is a bug.", "ops",
              [(rate("muster_privacy_ledger_writes_total", TASK, by=("task",)), "{{task}}")])
    page.time("Rounds refused for the budget", "Rounds not opened or not released because the "
              "budget would not bear them, a second.", "ops",
              [(rate("muster_privacy_refusals_total", TASK, by=("task",)), "{{task}}")])
    page.time("Audit records", "Operator actions, key changes, rounds, releases and privacy spend "
              "in the audit stream, a second. All tasks.", "ops",
              [(rate("muster_audit_records_total", by=("kind",)), "{{kind}}")])


def robust(page):
    page.row("Robust rules")
    page.time("Updates without weight", "Valid updates that a rule gave no weight, a second. Only "
              "rules that choose whole updates; Krum keeps one of a cohort by design.", "ops",
              [(rate("muster_robust_excluded_total", TASK, by=("task", "rule")),
                "{{task}}: {{rule}}")])
    page.time("Hostile share assumed", "Share of a cohort that the rule is set to withstand. More "
              "attackers than this, and it promises nothing.", "percentunit",
              [(per_task("muster_robust_assumed_byzantine_ratio"), "{{task}}")], high=0.5)
    page.time("Clipped", "Share of the last cohort that clipping made shorter. Near 100 %: the "
              "clip norm is too small and slows learning. Near 0 %: it bounds nothing.",
              "percentunit", [(per_task("muster_clip_ratio"), "{{task}}")], high=1)
    page.heat("Norms of updates", "How many updates a second had which Euclidean norm. A second "
              "band far above the first is an attack, or a broken fleet.", "none",
              [(buckets(NORM, TASK), "{{le}}")])
    page.time("Norms, percentiles", "Where a task's rule takes norms.", "none",
              [(quantile(q, NORM, TASK), f"p{q * 100:g}") for q in (0.5, 0.9, 0.99)], log=True,
              low=None)
    page.time("Updates left out", "Acknowledged updates that were not finite or out of bound once "
              "decoded, a second.", "ops",
              [(rate("muster_updates_invalid_total", TASK, by=("task",)), "{{task}}")])


def hostile(page):
    page.row("Hostile peers")
    page.time("Refused for what they say", "Messages refused a second because their content cannot "
              "be honest or sound. All tasks.", "ops",
              [(spread("muster_updates_rejected_total", "reason",
                       'reason=~"value_not_finite|coordinate_out_of_bound|scale_invalid|'
                       'reserved_code|weight_out_of_range|equivocation|second_update|'
                       'checksum_mismatch|header_malformed|payload_length|zstd_invalid|'
                       'index_invalid"'), "{{reason}}")], stack=True, size=(12, 8))
    page.time("Strangers", "Handshakes without an enrolled key, and with a revoked one, a second.",
              "ops", [(rate("muster_handshakes_total", 'result!="accepted"', by=("result",)),
                       "{{result}}")], stack=True, size=(12, 8))
