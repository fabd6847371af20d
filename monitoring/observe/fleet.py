"""Two healthy servers under load: several tasks on the first, one on the second."""

import pathlib

from .server import Server


def start(folder: pathlib.Path, port: int, programs: pathlib.Path, register) -> list[Server]:
    """`register` is called with what ends each server, as soon as there is something to end."""
    several = Server("muster-0", folder, port, programs)
    register(several.stop)
    several.start()
    several.create_task("keyboard", target_cohort=6, minimum_cohort=3, rule="krum",
                        byzantine_share=0.2, deadline="30s")
    several.create_task("vision", target_cohort=5, minimum_cohort=3, rule="clipped_mean",
                        clip_norm=0.18, deadline="30s", codec="i8s")
    several.create_task(
        "clinics", rule="clipped_mean", target_cohort=4, minimum_cohort=3, deadline="30s",
        privacy={"clip_norm": 0.1, "noise_multiplier": 20.0, "population": "patients",
                 "budget_epsilon": 50.0, "delta": 1e-6, "participations": 100_000,
                 "max_devices": 1000, "allow_small_cohort": True})
    for task, count in (("keyboard", 8), ("vision", 6), ("clinics", 5)):
        for _ in range(count):
            several.add_device(task)
    one = Server("muster-1", folder, port + 2, programs)
    register(one.stop)
    one.start()
    one.create_task("wards", target_cohort=4, minimum_cohort=2, rule="trimmed_mean",
                    byzantine_share=0.25, dimension=20000, deadline="30s")
    for _ in range(4):
        one.add_device("wards")
    return [several, one]
