#!/usr/bin/env bash
# Lets random histories and faults loose on the whole pipeline until the time is over, and looks for rows that are lost or there twice.
# Needs: what scripts/setup.sh installs. Starts PostgreSQL, AWS and Spark of its own in a temporary folder, and stops them.
# Exits: 0 nothing lost and nothing twice; 1 something was, and the last lines name the seed that shows it again; 2 not understood;
# 130 interrupted.
set -euo pipefail
unset CDPATH  # with it, cd may go to another folder, and prints which
export LC_ALL=C.UTF-8  # numbers, letters and messages are the same for everybody

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
readonly ROOT
readonly PYTHON="${ROOT}/.venv/main/bin/python"

usage() {
  cat << 'TEXT'
usage: scripts/soak.sh [--minutes N] [--seed S] [--help]

  --minutes N  how long (10)
  --seed S     the seed of the first world of histories; without --minutes that world alone, whole: what a failure is seen again by
TEXT
}

main() {
  local options=()
  while (( $# )); do
    case "$1" in
      --minutes) [[ "${2:-}" =~ ^[0-9]+(\.[0-9]+)?$ ]] || { usage >&2; exit 2; } ;;
      --seed) [[ "${2:-}" =~ ^[0-9]+$ ]] || { usage >&2; exit 2; } ;;
      --help) usage; exit 0 ;;
      *) usage >&2; exit 2 ;;
    esac
    options+=("$1" "$2")
    shift 2
  done
  [[ -x "${PYTHON}" ]] || { echo "soak: nothing is installed: run scripts/setup.sh" >&2; exit 1; }
  cd "${ROOT}"
  PYTHONPATH="${ROOT}:${ROOT}/glue_jobs" exec "${PYTHON}" -m tests.exactness.soak "${options[@]}"
}

main "$@"
