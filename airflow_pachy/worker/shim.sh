# Runs the user's command in the user's container, once for every go.<n> that the helper container
# writes, and tells how it ended in end.<n>. Executed by the static busybox beside it, because the
# user's image may have no shell at all; nothing but that busybox and shell builtins is used.
#
# Files in this directory (the helper writes those marked h, we write those marked u):
#   h env.<n>     shell text: sets pfs_datum, pfs_label, pfs_dir, pfs_input, pfs_grace, and the command as "$@"
#   h output.<n>, tail.<n> are pipes that its output goes through
#   h go.<n>      datum n lies under /pfs: run it          u end.<n>   "<exit code> <start> <end>[ terminated]", a line
#   h timeout.<n> end it, it takes too long                u log.<n>   the end of its output
#   h stopping    end it, there will be no other           u user.hb   touched every 2 s
#   h done        exit with the code that is in it         h helper.hb changes every 2 s
# Exit codes of our own: 122 the helper is presumed dead, 143 ended by TERM.
#
# Variables start with pfs_, lest they change an exported variable that the user's code is to see.

pfs_own=${0%/*}
pfs_root=${pfs_own%/*}
pfs_box=$pfs_own/busybox
pfs_turn=1
pfs_next_beat=0
pfs_seen=
pfs_stale=0
pfs_stale_limit=300 # beats of 2 s; before the helper's first sign of life it may still be starting
pfs_log_bytes=16384

exec 8<>"$pfs_own/tick"

# Sleeps without starting a process, until the helper writes a line to this pipe because something is new.
pfs_pause() { read -r -t "$1" -u 8 pfs_nothing; }

# Every 2 s: shows that we live, and fails when the helper has not shown it for 15 beats.
pfs_beat() {
  pfs_now=${EPOCHREALTIME%.*}
  [ "$pfs_now" -ge "$pfs_next_beat" ] || return 0
  pfs_next_beat=$((pfs_now + 2))
  echo "$pfs_now" >"$pfs_own/user.hb"
  pfs_sign=
  if [ -e "$pfs_own/helper.hb" ]; then read -r pfs_sign <"$pfs_own/helper.hb"; fi
  if [ "$pfs_sign" != "$pfs_seen" ]; then
    pfs_seen=$pfs_sign
    pfs_stale=0
    pfs_stale_limit=15
  else
    pfs_stale=$((pfs_stale + 1))
  fi
  [ "$pfs_stale" -lt "$pfs_stale_limit" ]
}

# Sends signal $1 to the user's processes: everything else in the container when we are process 1, else what
# is in the command's session. Fails when there was none. Processes in $2... are ours.
pfs_signal() {
  pfs_number=$1
  shift
  pfs_keep=" 1 $$ $* "
  pfs_found=1
  for pfs_entry in /proc/[0-9]*; do
    pfs_pid=${pfs_entry#/proc/}
    case $pfs_keep in *" $pfs_pid "*) continue ;; esac
    { read -r pfs_stat <"$pfs_entry/stat"; } 2>/dev/null || continue
    set -- ${pfs_stat##*) }
    [ "$1" != Z ] || continue
    [ $$ = 1 ] || [ "$4" = "$pfs_main" ] || continue
    kill "-$pfs_number" "$pfs_pid" 2>/dev/null && pfs_found=0
  done
  return $pfs_found
}

# `pfs_signal` from the watcher, which spares itself. Most datums end without it, so it asks its number only here.
pfs_end() {
  [ -n "$pfs_self" ] || read -r pfs_self pfs_nothing </proc/self/stat
  pfs_signal "$@" "$pfs_self"
}

# Beside the running command: heartbeats, and its end when the helper wants it or is gone.
pfs_watch() {
  trap - TERM
  pfs_self=
  pfs_kill_at=
  while :; do
    pfs_pause 0.2
    if ! pfs_beat; then
      echo 122 >"$pfs_own/helper.dead"
      pfs_end KILL "$@"
    elif [ -n "$pfs_kill_at" ]; then
      [ "$pfs_now" -lt "$pfs_kill_at" ] || pfs_end KILL "$@"
    elif [ -e "$pfs_own/timeout.$pfs_turn" ] || [ -e "$pfs_own/stopping" ]; then
      pfs_kill_at=$((pfs_now + pfs_grace))
      pfs_end TERM "$@"
    fi
  done
}

# Lets the helper, whose uid is another, read and remove what the command left. Its own directories have all
# permissions already; its files are left alone, because a changed inode means a changed input.
pfs_open_up() {
  if [ ! -O "$pfs_root/out" ] || [ -L "$pfs_root/out" ]; then
    "$pfs_box" find "$pfs_root" -mindepth 1 -path "$pfs_own" -prune \
      -o -type d ! -perm -0777 -exec "$pfs_box" chmod a+rwx {} ';' \
      -o -type f ! -perm -0444 '(' -path "$pfs_root/out/*" -o -path "$pfs_root/batch/*/out/*" ')' -exec "$pfs_box" chmod a+r {} +
  fi 2>/dev/null
}

# Waits until all output is logged. As process 1 we have killed whoever could hold it open; where the pod
# shares its process namespace, a daemon that left the session is beyond our reach, and gets two seconds.
pfs_drain() {
  pfs_killer=
  if [ $$ != 1 ]; then
    { pfs_pause 2; kill -KILL "$pfs_tee"; } 2>/dev/null &
    pfs_killer=$!
  fi
  wait "$pfs_tail" "$pfs_tee"
  [ -z "$pfs_killer" ] || kill -KILL "$pfs_killer"
}

pfs_run() {
  . "$pfs_own/env.$pfs_turn"
  # Airflow's log view folds what lies between these markers.
  echo "::group::pfs: datum $pfs_datum start${pfs_label:+ ($pfs_label)}"
  pfs_start=$EPOCHREALTIME
  "$pfs_box" tail -c "$pfs_log_bytes" <"$pfs_own/tail.$pfs_turn" >"$pfs_own/log.$pfs_turn" 8<&- &
  pfs_tail=$!
  "$pfs_box" tee "$pfs_own/tail.$pfs_turn" <"$pfs_own/output.$pfs_turn" 8<&- &
  pfs_tee=$!
  {
    cd "${pfs_dir:-.}" && exec 8<&- "$pfs_box" setsid "$pfs_box" env "$@"
    exit 126
  } >"$pfs_own/output.$pfs_turn" 2>&1 <"$pfs_input" & # output first: tee waits for somebody to open it
  pfs_main=$!
  pfs_watch "$pfs_tail" "$pfs_tee" &
  pfs_watcher=$!
  wait "$pfs_main"
  pfs_code=$?
  while [ -n "$pfs_interrupted" ] && kill -0 "$pfs_main" 2>/dev/null; do
    pfs_interrupted=
    wait "$pfs_main"
    pfs_code=$?
  done
  kill -KILL "$pfs_watcher"
  while pfs_signal KILL "$pfs_tail" "$pfs_tee" "$pfs_watcher"; do pfs_pause 0.01; done
  pfs_drain
  pfs_open_up
  echo "pfs: datum $pfs_datum end $pfs_code"
  echo "::endgroup::"
  [ "$pfs_code" = 0 ] || echo "pfs: datum $pfs_datum${pfs_label:+ ($pfs_label)} ended with exit code $pfs_code, see the group above"
  # What the user's code has put there goes first. The helper waits for the end of the line, so this needs no
  # rename, which would be one process more for every datum.
  if [ -e "$pfs_own/end.$pfs_turn" ] || [ -L "$pfs_own/end.$pfs_turn" ]; then "$pfs_box" rm -rf "$pfs_own/end.$pfs_turn"; fi
  echo "$pfs_code $pfs_start $EPOCHREALTIME${pfs_terminated:+ terminated}" >"$pfs_own/end.$pfs_turn"
}

pfs_main=
pfs_terminated=
pfs_interrupted=
trap 'pfs_terminated=1 pfs_interrupted=1; [ -z "$pfs_main" ] || kill -TERM "-$pfs_main" 2>/dev/null' TERM

while :; do
  while [ ! -e "$pfs_own/go.$pfs_turn" ]; do
    if [ -e "$pfs_own/done" ]; then
      read -r pfs_code <"$pfs_own/done"
      exit "$pfs_code"
    fi
    [ -z "$pfs_terminated" ] || exit 143
    if [ -e "$pfs_own/helper.dead" ] || ! pfs_beat; then
      echo "pfs: no sign of life from the helper container for 30 seconds: giving up" >&2
      exit 122
    fi
    pfs_pause 0.02
  done
  pfs_run
  pfs_main=
  pfs_turn=$((pfs_turn + 1))
done
