#!/bin/sh
# Keeps dated copies of a folder and removes those older than a given number of days.
set -eu

usage() {
    echo "usage: backup.sh FOLDER TARGET [DAYS]" >&2
    exit 2
}

[ $# -ge 2 ] || usage
folder=$1
target=$2
days=${3:-30}

case $days in
    ''|*[!0-9]*) echo "backup.sh: DAYS must be a number, not '$days'" >&2; exit 2 ;;
esac
[ -d "$folder" ] || { echo "backup.sh: no folder '$folder'" >&2; exit 2; }
mkdir -p "$target"

name=$(basename "$folder")-$(date +%Y%m%d-%H%M%S).tar.gz
partial=$target/.$name.partial
trap 'rm -f "$partial"' EXIT INT TERM

tar -czf "$partial" -C "$(dirname "$folder")" "$(basename "$folder")"
tar -tzf "$partial" > /dev/null
mv "$partial" "$target/$name"

find "$target" -name "$(basename "$folder")-*.tar.gz" -mtime "+$days" -exec rm -f {} +
echo "$target/$name"
