#!/usr/bin/env bash
# The status page in a real browser, at the width of a desk and of a phone: drawn from a live server,
# no asset from outside, nothing wider than the screen. Pictures: $2 (default: a folder that goes).
# Usage: status_test.sh FOLDER_OF_BINARIES [PICTURES]
set -euo pipefail

bin=$1
browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)
if [ -z "$browser" ] || ! command -v python3 >/dev/null; then
  echo "SKIPPED: no chromium or no python3 here; scripts/setup-browser installs it" >&2
  exit 77
fi

. "$(dirname "$0")/served.sh"
pictures=${2:-$work}
mkdir -p "$pictures"
serve <<TOML
[[task]]
name = "keyboard"
dimension = 4096
rule = "multi_krum"
f = 3
target_cohort = 40
minimum_cohort = 20
deadline = "10m"
[[task]]
name = "wake-word"
dimension = 1024
target_cohort = 1000
minimum_cohort = 100
TOML
# A whole round, and a part of the next.
"$bin/status_fleet" "$(endpoint)" keyboard 40
for _ in $(seq 300); do
  ask status --json | grep -q '"round": 2' && break
  sleep 0.1
done
"$bin/status_fleet" "$(endpoint)" keyboard 15 wake-word 12

fail=0
draw() { # NAME WIDTH HEIGHT
  timeout 200 python3 "$(dirname "$0")/browse.py" "$browser" "$work/profile-$1" "http://$(http)/status" \
    "$2" "$3" 7 "$pictures/status-$1.png" "$work/$1.html"
  [ -s "$pictures/status-$1.png" ] || { echo "no picture at width $2" >&2; fail=1; }
}
expect() { # NAME TEXT
  grep -qF -- "$2" "$work/$1.html" || { echo "$1: the page does not show: $2" >&2; fail=1; }
}
for at in "desk 1280 900" "phone 390 1900"; do
  read -r name width height <<<"$at"
  draw "$name" "$width" "$height"
  # Numbers that only the live server can have given.
  for text in '>ready<' '>keyboard<' '>wake-word<' '>15 of 40 updates<' '>12 of 1,000 updates<' \
    '>67<' 'closes in 9 min' 'no deadline' 'of a budget of' 'multi_krum' 'a second' \
    'Nothing was refused' 'no statement'; do
    expect "$name" "$text"
  done
  # The page measures itself: nothing may be wider than the screen.
  expect "$name" 'data-overflow="0"'
done
if grep -oE '(src|href)="[^"]*"' "$work/desk.html" | grep -vE '"(/[a-z.]*|data:,?)"'; then
  echo "the page names assets from elsewhere" >&2
  fail=1
fi
exit $fail
