"""Every alert has a runbook with its four parts; links and commands in it lead somewhere."""

import os
import re
import subprocess

import pytest
from conftest import ROOT, RUNBOOKS, alerts

NAMES = sorted(alert["alert"] for alert in alerts())
PAGES = sorted(RUNBOOKS.glob("*.md")) + [ROOT / "docs/monitoring.md"]
PROGRAM = os.environ.get("MUSTER_BIN", str(ROOT / "build/cpu/bin/muster"))


def test_one_page_an_alert():
    assert sorted(page.stem for page in RUNBOOKS.glob("Muster*.md")) == NAMES


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert["alert"])
def test_the_alert_names_its_page(alert):
    assert alert["annotations"]["runbook"] == f"docs/runbooks/{alert['alert']}.md"


@pytest.mark.parametrize("name", NAMES)
def test_a_page_has_its_four_parts(name):
    text = (RUNBOOKS / f"{name}.md").read_text()
    assert text.startswith(f"# {name}\n")
    parts = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
    assert parts[1::2] == ["Meaning", "Impact", "First three checks", "Fix"]
    assert all(len(part.strip()) > 8 for part in parts[2::2])
    assert len(re.findall(r"^\d\. ", parts[6], flags=re.MULTILINE)) == 3


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_to_files(page):
    for link in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        assert "://" in link or (page.parent / link).exists(), link


def test_the_list_is_complete():
    listed = set(re.findall(r"\((Muster\w+)\.md\)", (RUNBOOKS / "README.md").read_text()))
    assert listed == set(NAMES)


def named_commands():
    found = set()
    for page in PAGES:
        for code in re.findall(r"`(muster [a-z][^`]*)`", page.read_text()):
            words = code.split()[1:]
            found.add(tuple(word for word in words[:2] if re.fullmatch(r"[a-z-]+", word)
                            and not word.startswith("-")))
    return sorted(found)


@pytest.mark.parametrize("words", named_commands(), ids=" ".join)
def test_commands_exist(words):
    shown = subprocess.run([PROGRAM, *words, "--help"], capture_output=True, text=True, timeout=60)
    assert shown.returncode == 0, shown.stderr
    assert re.search(rf"Usage: muster {' '.join(words)}\b", shown.stdout), shown.stdout


def test_panels_named_in_runbooks_exist():
    titles = "".join(file.read_text() for file in (ROOT / "monitoring/dashboards").glob("*.json"))
    for page in RUNBOOKS.glob("Muster*.md"):
        text = " ".join(page.read_text().split())
        for title in re.findall(r"[Pp]anels? \"([^\"]+)\"", text):
            assert f'"title": "{title}"' in titles, f"{page.stem}: {title}"
