#!/usr/bin/env bash
# Sets up, lints, and runs every test: ingest on Glue's Python 3.9 as well, everything on 3.11, coverage of the jobs' package.
# Needs: what scripts/setup.sh needs. Exits: 0 all passed; 1 not, and the first failure is printed.
set -euo pipefail

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
readonly ROOT

usage() { echo "usage: scripts/test.sh [--help]    sets up, lints and runs every test"; }
log() { printf 'test: %s\n' "$*" >&2; }

main() {
  if (( $# )); then usage; [[ "$1" == --help ]] && exit 0 || exit 1; fi
  cd "${ROOT}"
  scripts/setup.sh
  log "linters"
  scripts/lint.sh
  if [[ -x .venv/ingest/bin/python ]]; then
    # Beside the rest, which does not keep both cores busy all the time. What it prints comes at the end.
    log "ingest on $(.venv/ingest/bin/python --version), in the background"
    printed="$(mktemp)"
    .venv/ingest/bin/python -m pytest -p no:cacheprovider tests/ingest > "${printed}" 2>&1 &
    ingest=$!
    trap 'kill "${ingest}" 2> /dev/null || true; rm -f "${printed}"' EXIT
  fi
  log "everything on $(.venv/main/bin/python --version)"
  # In the order of the files: the long ones come first. tests/conftest.py says what one process runs.
  .venv/main/bin/python -m slipcover -m pytest --numprocesses 2 --dist loadscope --no-loadscope-reorder
  if [[ -n "${ingest:-}" ]]; then
    local ended=0
    wait "${ingest}" || ended=$?
    log "ingest on $(.venv/ingest/bin/python --version)"
    cat "${printed}"
    (( ended == 0 )) || exit 1
  fi
}

main "$@"
