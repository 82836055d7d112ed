#!/usr/bin/env bash
# The whole machine in the background: totesys and the warehouse on PostgreSQL, and AWS.
# Needs: what scripts/setup.sh needs; it is called first. LOCAL_DIR holds all state (default .local): two of them live side by side.
# Exits: 0 done (status: all is up); 1 not, and the last line says why; 2 not understood.
set -euo pipefail
unset CDPATH  # with it, cd may go to another folder, and prints which
export LC_ALL=C.UTF-8  # numbers, letters and messages are the same for everybody

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
readonly ROOT

usage() {
  cat << 'TEXT'
usage: scripts/local.sh up [--empty | --orders N] [--schedule] | down | next-day | env | status | --help

  up        starts what is not running; a second up starts again what has died. A new source gets 16,000 orders,
            N with --orders N, none with --empty. Only with --schedule do the SCHEDULED triggers fire.
  down      stops everything and deletes its data
  next-day  lives the weekday after the newest order: new orders, payments made, edits, silent ones too
  env       prints export lines: eval "$(scripts/local.sh env)"
  status    shows each part with its process and address; kill a process to see how the pipeline bears it

  LOCAL_DIR  folder of all state (.local): another folder is another stack, on other ports
TEXT
}

main() {
  case "${1:-}" in
    --help) usage; exit 0 ;;
    up | down | next-day | env | status) ;;
    *) usage >&2; exit 2 ;;
  esac
  export LOCAL_DIR="${LOCAL_DIR:-${ROOT}/.local}"
  "${ROOT}/scripts/setup.sh"
  PYTHONPATH="${ROOT}:${ROOT}/glue_jobs" exec "${ROOT}/.venv/main/bin/python" -m local_totesys.local "$@"
}

main "$@"
