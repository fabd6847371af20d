"""Two healthy servers under load: several tasks on the first, one with a larger fleet on the second."""

import pathlib

from .process import Child
from .server import Server

SCENARIO = pathlib.Path(__file__).with_name("fleet.toml")
MOST_SECONDS = 24 * 3600  # of the larger fleet: it is stopped long before

PRIVACY = {"clip_norm": 0.1, "noise_multiplier": 20.0, "population": "patients",
           "budget_epsilon": 50.0, "delta": 1e-6, "participations": 100_000, "max_devices": 1000,
           "allow_small_cohort": True}


def start(folder: pathlib.Path, port: int, programs: pathlib.Path, register) -> list[Server]:
    """`register` is called with what ends each server, as soon as there is something to end."""
    several = Server("muster-0", folder, port, programs)
    register(several.stop)
    several.start()
    several.create_task("vision", target_cohort=6, minimum_cohort=3, rule="krum",
                        byzantine_share=0.2, deadline="30s", codec="i8s")
    for _ in range(8):
        several.add_device("vision")
    several.create_task("clinics", rule="clipped_mean", target_cohort=4, minimum_cohort=3,
                        deadline="30s", privacy=PRIVACY)
    for _ in range(5):
        several.add_device("clinics")
    one = Server("muster-1", folder, port + 2, programs)
    register(one.stop)
    one.start()
    scenario = one.folder / "fleet.toml"
    scenario.write_text(SCENARIO.read_text().replace("{seconds}", str(MOST_SECONDS)))
    one.devices.append(Child(
        [programs / "muster", "loadtest", scenario, "--running", "--out", one.folder / "load",
         "--socket", one.folder / "data/admin.sock"], one.folder / "load.log"))
    return [several, one]
