#!/bin/sh
# clean.sh <data directory>: deletes what a local cluster wrote there (node_<id>, node_<id>.log), and nothing else.
set -eu
cd "$(dirname "$0")/.."
data=$1
[ -d "$data" ] || exit 0
for lock in "$data"/node_[0-9]*/lock; do
    if [ -e "$lock" ] && command -v flock >/dev/null && ! flock --nonblock "$lock" true; then
        echo "A node is running on ${lock%/lock}: stop the cluster first (Ctrl-C where make run runs)." >&2
        exit 1
    fi
done
rm -rf "$data"/node_[0-9]*
rmdir "$data" 2>/dev/null || echo "$data holds more than a local cluster's data; the rest stays."
