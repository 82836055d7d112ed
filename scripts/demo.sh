#!/usr/bin/env bash
# Sets up, starts its own local stack, deploys, runs the pipeline on realistic data, changes the source, and shows that the change arrives.
# Needs: what scripts/setup.sh needs. Always stops its stack at the end, unless --keep is given.
# Exits: 0 the warehouse equals the source at the end; 1 it does not, or a step failed, and the last lines say why; 2 wrong options.
set -euo pipefail
unset CDPATH  # with CDPATH, cd may go to another folder, and print its name
export LC_ALL=C.UTF-8  # numbers, letters and messages are the same for everybody

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
readonly ROOT
export LOCAL_DIR="${ROOT}/.local-demo"  # a separate stack, never one that somebody works with

usage() {
  cat << 'TEXT'
usage: scripts/demo.sh [--keep] [--orders N] [--help]

  --keep      leave the stack up, and print how to use it
  --orders N  number of orders in the source (default 16000)
TEXT
}
die() { printf 'demo: error: %s\n' "$*" >&2; exit 1; }

take_down() { "${ROOT}/scripts/local.sh" down > /dev/null || true; }

main() {
  local keep=false orders=16000
  while (( $# )); do
    case "$1" in
      --keep) keep=true ;;
      --orders) (( $# > 1 )) || { usage >&2; exit 2; }; orders="$2"; shift ;;
      --help) usage; exit 0 ;;
      *) usage >&2; exit 2 ;;
    esac
    shift
  done
  [[ "${orders}" =~ ^[1-9][0-9]*$ ]] || { usage >&2; exit 2; }
  "${ROOT}/scripts/setup.sh"
  ! "${ROOT}/scripts/local.sh" status > /dev/null 2>&1 || die "the stack of an earlier demo is up: stop it with LOCAL_DIR=${LOCAL_DIR} scripts/local.sh down"
  take_down  # a killed demo may have left parts behind
  [[ "${keep}" == true ]] || trap take_down EXIT
  PYTHONPATH="${ROOT}:${ROOT}/glue_jobs" "${ROOT}/.venv/main/bin/python" -m operations.cli.demo --orders "${orders}"
  [[ "${keep}" == false ]] || cat << TEXT

The stack is up. To use it:
  export LOCAL_DIR=${LOCAL_DIR}; eval "\$(scripts/local.sh env)"
  scripts/local.sh next-day; scripts/totesys run; scripts/totesys reconcile
  scripts/totesys query "SELECT count(*) FROM fact_payment"
  psql "\${TOTESYS_SOURCE_URL}"        the source, for you to change; the warehouse is \${TOTESYS_WAREHOUSE_URL}
  scripts/local.sh down
TEXT
}

main "$@"
