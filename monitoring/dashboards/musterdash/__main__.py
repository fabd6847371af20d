"""Writes the dashboards' JSON; with --check only says which files are not up to date."""

import argparse
import pathlib
import sys

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from . import backend, ingest, overview, privacy, rounds

FOLDER = pathlib.Path(__file__).resolve().parent.parent
BUILDERS = (overview, rounds, ingest, backend, privacy)


def rendered() -> dict[pathlib.Path, str]:
    """File -> content, for every dashboard."""
    texts = {}
    for builder in BUILDERS:
        built = builder.build()
        texts[FOLDER / f"{built.uid}.json"] = JSONEncoder(sort_keys=True, indent=1).encode(built)
    return {file: text + "\n" for file, text in texts.items()}


def main() -> int:
    parser = argparse.ArgumentParser(prog="musterdash", description=__doc__)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    stale = []
    for file, text in rendered().items():
        if file.exists() and file.read_text() == text:
            continue
        stale.append(file.name)
        if not check:
            file.write_text(text)
    for name in stale:
        print(name, "is not up to date" if check else "written")
    return 1 if check and stale else 0


sys.exit(main())
