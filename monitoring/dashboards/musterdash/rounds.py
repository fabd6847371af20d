"""Rounds: where each task stands, how long its rounds take, how they end."""

from .page import BAD, GOOD, PLAIN, WARN, Page
from .query import TASK, mean, quantile, rate, series, share, spread, total

STAGE = "muster_round_duration_seconds"
# In the order a round goes through them; the number is only for the picture.
STATES = {
    "open": "green",
    "draining": "super-light-green",
    "sealing": "light-blue",
    "aggregating": "blue",
    "releasing": "purple",
    "shredding": "super-light-purple",
    "abandoning": "red",
    "done": "text",
    "finished": "dark-blue",
    "stopped": "orange",
}


def build():
    page = Page("muster-rounds", "Where each task stands: state, cohort against target and "
                "deadline, time of each stage, and how rounds ended.", tasks=True)
    now(page)
    cohort(page)
    pace(page)
    devices(page)
    return page.build()


def per_task(name, *matchers):
    return f"max by (task) ({series(name, TASK, *matchers)})"


def state_number():
    """One number a task: the place of its state in STATES, from 1. A scrape in the middle of a change sees both
    states, or none: then the later one, or nothing."""
    states = " or ".join(
        series("muster_round_state", TASK, f'state="{state}"') + f" * {number}"
        for number, state in enumerate(STATES, 1)
    )
    return f"max by (task) ({states}) > 0"


def now(page):
    page.row("Now")
    page.states("State of the round", "What the latest round of each task is doing. A healthy task "
                "is open most of the time; red is a round being abandoned.",
                [(state_number(), "{{task}}")],
                dict(enumerate(STATES.items(), 1)),
                size=(16, 6))
    page.stat("Round", "Number of the latest round.", "none",
              [(per_task("muster_round_number"), "{{task}}")], size=(4, 6), low=0, graph=False)
    page.stat("Version", "Latest published model version.", "none",
              [(per_task("muster_model_version"), "{{task}}")], size=(4, 6), low=0, graph=False)


def cohort(page):
    page.row("Cohort")
    page.time("Cohort", "Whole, durable updates of the latest round; it falls to zero when the "
              "next one opens. Below the minimum at its deadline, a round is abandoned.", "none",
              [(per_task("muster_round_cohort_size"), "{{task}}"),
               (per_task("muster_round_cohort_minimum"), "minimum of {{task}}"),
               (per_task("muster_round_cohort_target"), "target of {{task}}")])
    page.time("Cohort against target", "At 100 % the round closes. A line that climbs ever more "
              "slowly means that devices drop out or stay away.", "percentunit",
              [(share(per_task("muster_round_cohort_size"),
                      per_task("muster_round_cohort_target")), "{{task}}")])
    page.time("Age against deadline", "Age of the latest round, and the age at which it closes "
              "with what it has. Only tasks with a deadline have the second line.", "s",
              [(per_task("muster_round_age_seconds"), "{{task}}"),
               (per_task("muster_round_deadline_seconds") + " > 0", "deadline of {{task}}")])


def pace(page):
    page.row("Pace")
    page.time("Rounds ended, an hour", "By outcome, at the pace of the window. Abandoned: too few "
              "updates, or a rule not defined on them. Aborted: by an operator.", "none",
              [(rate("muster_rounds_total", TASK, by=("outcome",)) + " * 3600", "{{outcome}}")],
              decimals=1)
    page.time("Mean time in a stage", "Stacked: the height is the mean time of a whole round. "
              "Collect should be most of it.", "s",
              [(mean(STAGE, TASK, by=("stage",)), "{{stage}}")], stack=True)
    page.time("Server's own work", "Nine of ten took less. Seal, aggregate and release hold the "
              "next round up; aggregate grows with cohort and model.", "s",
              [(quantile(0.9, STAGE, TASK, 'stage!="collect"', by=("stage",)), "{{stage}}")])
    page.stat("Abandoned", "Share of the rounds in the window that were abandoned.", "percentunit",
              [(share(rate("muster_rounds_total", TASK, 'outcome="abandoned"'),
                      rate("muster_rounds_total", TASK)), "abandoned")],
              size=(4, 7), low=0, high=1, colours=((None, GOOD), (0.1, WARN), (0.5, BAD)))
    page.stat("Rounds released", "Releases since the server started, over the tasks.", "none",
              [(total(series("muster_rounds_total", TASK, 'outcome="released"')), "released")],
              size=(4, 7), low=0, colours=((None, PLAIN),))
    page.time("Model version", "A staircase. A flat line is a task that does not learn.", "none",
              [(per_task("muster_model_version"), "{{task}}")], size=(16, 7))


def devices(page):
    page.row("Devices")
    page.time("Check-ins by answer", "Devices that asked for work a second. Many retry_after: more "
              "devices than the rounds need, or none is open. All tasks.", "ops",
              [(rate("muster_check_ins_total", by=("answer",)), "{{answer}}")], stack=True)
    page.time("Late or unwanted", "Messages refused a second because the round had closed, was "
              "full, or had moved on. High: over_selection or the deadline does not fit the fleet. "
              "All tasks.", "ops",
              [(spread("muster_updates_rejected_total", "reason",
                       'reason=~"round_closed|round_unknown|model_version_stale|cohort_full|'
                       'no_open_round|unknown_task"'), "{{reason}}")], stack=True)
    page.time("Updates left out", "Acknowledged updates that the rule left out by its input "
              "contract, a second. Not exported by private tasks.", "ops",
              [(rate("muster_updates_invalid_total", TASK, by=("task",)), "{{task}}")])
