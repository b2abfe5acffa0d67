#!/pfs/.pfs/busybox sh
# `pachctl` as the code of a 2.x spout calls it: files that it puts become tar archives in the pipe /pfs/out, each a
# commit. Files put between `start commit` and `finish commit` are one commit. Nothing else of pachctl is here, because
# there is no server that it could ask.

control=${0%/*}/..
box=$control/busybox
own=$control/pachctl
open=$own/open

fail() {
  echo "pachctl: $1" >&2
  exit 1
}

# Has what lies below directory $1 committed, over what is there or, with the word "append" in $2, at its end.
send() {
  [ "$2" = append ] || { "$box" mkdir -p "$1/.pfs" && : >"$1/.pfs/overwrite"; }
  # One archive at a time, though several processes put files.
  until "$box" mkdir "$own/lock" 2>/dev/null; do "$box" sleep 0.1; done
  trap '"$box" rmdir "$own/lock"' EXIT
  "$box" tar -C "$1" -cf "$control/../out" . || fail "the spout's helper does not read"
  "$box" rm -rf "$1"
}

# Puts the file or directory $1 at $2 below directory $3.
copy() {
  case "/$2/" in */../*) fail "$2 is not a path below /" ;; esac
  target=$3/$2
  if [ "$1" = - ]; then
    "$box" mkdir -p "${target%/*}" && "$box" cat >"$target"
  elif [ -d "$1" ]; then
    [ -n "$recursive" ] || fail "$1 is a directory: give -r"
    "$box" mkdir -p "$target" && "$box" cp -R -L "$1/." "$target"
  else
    "$box" mkdir -p "${target%/*}" && "$box" cp -L "$1" "$target"
  fi || fail "$1 cannot be put"
}

put() {
  address= mode= recursive=
  sources=
  while [ $# -gt 0 ]; do
    case $1 in
      -f | --file | -i | --input-file) [ $# -gt 1 ] || fail "$1 needs a file" ; sources="$sources$2
" ; shift ;;
      -f*) sources="$sources${1#-f}
" ;;
      --file=*) sources="$sources${1#--file=}
" ;;
      -r | --recursive) recursive=1 ;;
      -a | --append) mode=append ;;
      -o | --overwrite) ;;
      -p | --parallelism) shift ;;
      -*) fail "a spout's pachctl does not know put file $1: write a tar archive to /pfs/out" ;;
      *) [ -z "$address" ] || fail "put file takes one address"; address=$1 ;;
    esac
    shift
  done
  [ -n "$address" ] || fail "put file needs an address, as in repo@branch:/path"
  path=
  case $address in *:*) path=${address#*:} ;; esac
  path=${path#/}
  [ -n "$sources" ] || sources="-
"
  "$box" mkdir -p "$own"
  if [ -d "$open" ]; then into=$open; else into=$("$box" mktemp -d "$own/put.XXXXXX"); fi
  [ "$mode" != append ] || [ "$into" != "$open" ] || fail "--append cannot be mixed with start commit"
  many=$(printf %s "$sources" | "$box" wc -l)
  while read -r source; do
    case $source in *://*) fail "$source: a spout's pachctl puts local files and standard input only" ;; esac
    name=$path
    case $name in "" | */) [ "$source" = - ] && fail "standard input needs a path to be put at"; name=$name${source##*/} ;;
    *) [ "$many" = 1 ] || name=$name/${source##*/} ;; esac
    # Standard input is the user's, and this list is read from another one.
    copy "$source" "$name" "$into" <&3
  done 3<&0 <<EOF
${sources%
}
EOF
  [ "$into" = "$open" ] || send "$into" "$mode"
}

case "$1 $2" in
  "put file") shift 2; put "$@" ;;
  "start commit") "$box" mkdir -p "$open" && echo "$EPOCHREALTIME" ;;
  "finish commit") [ -d "$open" ] || fail "no commit was started"; "$box" mv "$open" "$open.$$"; send "$open.$$" ;;
  "version " | "version --client-only") echo "pachctl of airflow-pachy's spouts" ;;
  *) fail "'pachctl $1 $2' is not for spouts here: they can put file, start commit and finish commit. Other input \
belongs to a pipeline with an input, other files into the image" ;;
esac
