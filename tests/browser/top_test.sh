#!/usr/bin/env bash
# `muster top` in a real terminal (tmux): it draws, redraws in place, and gives the screen back.
# Usage: top_test.sh FOLDER_OF_BINARIES
set -euo pipefail

bin=$1
if ! command -v tmux >/dev/null; then
  echo "SKIPPED: no tmux here; scripts/setup-browser installs it" >&2
  exit 77
fi
. "$(dirname "$0")/served.sh"
session="tmux -S $work/tmux -f /dev/null"
trap '$session kill-server 2>/dev/null || true; clean_up' EXIT
serve <<TOML
[[task]]
name = "keyboard"
dimension = 1024
target_cohort = 40
minimum_cohort = 20
TOML
shown() { $session capture-pane -p; }
await() { # TEXT
  for _ in $(seq 300); do
    shown | grep -qF -- "$1" && return
    sleep 0.1
  done
  echo "the terminal does not show: $1" >&2
  shown >&2
  exit 1
}
$session new-session -d -x 80 -y 24 -e PS1='prompt> ' 'bash --norc --noprofile'
$session send-keys "echo before-it; $bin/muster --socket $work/data/admin.sock top --interval 0.2" Enter
await 'keyboard'
await '0/40'
[ "$(shown | grep -c '^muster ')" -eq 1 ] || { echo "frames pile up" >&2; shown >&2; exit 1; }
"$bin/status_fleet" "$(endpoint)" keyboard 3
await '3/40'
await 'updates 3'
# A server that goes away is said to have gone, and awaited.
kill "$server"
wait "$server" || true
server=
await 'trying again'
$session send-keys C-c
await 'before-it'
if shown | grep -qF keyboard; then
  echo "the screen was not given back" >&2
  exit 1
fi
