#!/usr/bin/env bash
# Sets up, lints, and runs every test: ingest on Glue's Python 3.9 as well, everything on 3.11, coverage of the jobs' package.
# Needs: what scripts/setup.sh needs. Exits: 0 all passed; 1 not, and the first failure is printed.
set -euo pipefail

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
readonly ROOT
readonly LEAST_COVERAGE=90

usage() { echo "usage: scripts/test.sh [--help]    sets up, lints and runs every test"; }
log() { printf 'test: %s\n' "$*" >&2; }

main() {
  if (( $# )); then usage; [[ "$1" == --help ]] && exit 0 || exit 1; fi
  cd "${ROOT}"
  scripts/setup.sh
  log "linters"
  scripts/lint.sh
  if [[ -x .venv/ingest/bin/python ]]; then
    log "ingest on $(.venv/ingest/bin/python --version)"
    .venv/ingest/bin/python -m pytest -p no:cacheprovider tests/ingest
  fi
  log "everything on $(.venv/main/bin/python --version)"
  .venv/main/bin/python -m pytest --cov --cov-report=term:skip-covered --cov-fail-under="${LEAST_COVERAGE}"
}

main "$@"
