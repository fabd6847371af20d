# Sourced by the tests of this folder: a server on loopback. Expects $bin. Sets $work, a folder that
# goes with the script as the server does, and $server, its process.
work=$(mktemp -d)
server=
clean_up() {
  [ -z "$server" ] || { kill "$server" 2>/dev/null; wait "$server" 2>/dev/null || true; }
  rm -rf "$work"
}
trap clean_up EXIT

# muster, with the server's socket.
ask() { "$bin/muster" --socket "$work/data/admin.sock" "$@"; }

# Starts the server with the [[task]] tables on standard input, and waits until it answers.
serve() {
  {
    printf 'data_dir = "%s/data"\n[ingest]\nlisten = "tcp://127.0.0.1:*"\nsecurity = "plain"\n' "$work"
    printf '[monitoring]\nlisten = "127.0.0.1:0"\n'
    cat
  } >"$work/muster.toml"
  "$bin/musterd" --config "$work/muster.toml" >"$work/log" 2>&1 &
  server=$!
  for _ in $(seq 300); do
    ask status >/dev/null 2>&1 && return
    kill -0 "$server" 2>/dev/null || break
    sleep 0.1
  done
  cat "$work/log" >&2
  exit 1
}

# Where it listens for devices, and for browsers.
endpoint() { ask status --json | sed -n 's/.*"\(tcp:[^"]*\)".*/\1/p' | head -1; }
http() { ask status --json | sed -n 's/.*"metrics": *"\([^"]*\)".*/\1/p' | head -1; }
