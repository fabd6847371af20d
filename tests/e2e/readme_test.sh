#!/usr/bin/env bash
# Runs the commands of README.md's first round, in an empty folder, as a reader would type them.
set -euo pipefail
readme=$1
bin=$2
folder=$(mktemp -d "$PWD/readme-XXXXXX")
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$folder"' EXIT
script=$folder/commands.sh
# The ```sh blocks between the first-round markers.
awk '/<!-- first-round/ {on = 1} /<!-- \/first-round/ {on = 0}
     on && /^```sh/ {code = 1; next} /^```/ {code = 0} on && code' "$readme" >"$script"
grep -q 'musterd &' "$script"
# The reader waits for the server's line before typing on; a script has to look.
sed -i 's/^musterd &$/musterd \&\nfor i in $(seq 100); do muster status >\/dev\/null 2>\&1 \&\& break; sleep 0.1; done/' "$script"
cd "$folder"
export PATH="$bin:$PATH"
set -m  # job control, so that %1 means the server
# shellcheck source=/dev/null
. "$script"
test -s model.safetensors
