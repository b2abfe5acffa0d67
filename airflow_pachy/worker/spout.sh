# Runs the user's command of a spout, given as "$@", in the user's container; executed by the busybox beside it, because
# the image may have no shell. The command starts when the helper has recorded everything that an earlier start has
# written, and is ended when the helper that has read its output has died: only then does the marker say where to go on.
#
# Before all else in its PATH is bin/pachctl, for code that was written for 2.x.
#
#   $pfs_stdin (variable)   file with its standard input, or empty
#   $pfs_grace (variable)   seconds between TERM and KILL
# Exit codes: the command's own, or 122 when the helper is another.

pfs_own=${0%/*}
pfs_box=$pfs_own/busybox

"$pfs_box" rm -f "$pfs_own/spout.ended" "$pfs_own/spout.lost"
"$pfs_box" rm -rf "$pfs_own/pachctl"
PATH=$pfs_own/bin:$PATH
export PATH
pfs_word=$EPOCHREALTIME.$$
echo "$pfs_word" >"$pfs_own/spout.want.new"
"$pfs_box" mv "$pfs_own/spout.want.new" "$pfs_own/spout.want"

trap 'exit 143' TERM
pfs_go=
pfs_life=
until [ "$pfs_go" = "$pfs_word" ]; do
  "$pfs_box" sleep 0.2
  if [ -e "$pfs_own/spout.go" ]; then read -r pfs_go pfs_life <"$pfs_own/spout.go"; fi
done

pfs_terminated=
trap 'pfs_terminated=1; kill -TERM "$pfs_main" 2>/dev/null' TERM
if [ -n "$pfs_stdin" ]; then "$@" <"$pfs_stdin" & else "$@" </dev/null & fi
pfs_main=$!

# Beside it: ends it when the helper is another.
(
  trap - TERM
  pfs_now=$pfs_life
  while [ "$pfs_now" = "$pfs_life" ]; do
    "$pfs_box" sleep 1
    read -r pfs_now <"$pfs_own/spout.life"
  done
  echo "pfs: the helper was restarted, so the spout is, from its last marker" >&2
  : >"$pfs_own/spout.lost"
  kill -TERM "$pfs_main"
  "$pfs_box" sleep "$pfs_grace"
  kill -KILL "$pfs_main"
) &
pfs_watcher=$!

wait "$pfs_main"
pfs_code=$?
# A trap interrupts the waiting.
while [ -n "$pfs_terminated" ] && kill -0 "$pfs_main" 2>/dev/null; do
  wait "$pfs_main"
  pfs_code=$?
done
kill -KILL "$pfs_watcher" 2>/dev/null
: >"$pfs_own/spout.ended"
[ ! -e "$pfs_own/spout.lost" ] || pfs_code=122
exit "$pfs_code"
