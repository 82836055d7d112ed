#!/usr/bin/env bash
# Sets up, lints, and runs every test: tests/ingest on Python 3.9, on which Glue runs that job, and all other tests on 3.11, with coverage
# of the jobs' package.
# Needs: what scripts/setup.sh needs. Exits: 0 all passed; 1 not, and the first failure is printed.
set -euo pipefail
unset CDPATH  # with CDPATH, cd may go to another folder, and print its name
export LC_ALL=C.UTF-8  # numbers, letters and messages are the same for everybody

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
readonly ROOT
readonly LEAST_COVERAGE=90  # percent of lines
readonly MEMORY=/dev/shm MEMORY_MB=4000 AVAILABLE_MB=8000

usage() { echo "usage: scripts/test.sh [--help]    sets up, lints and runs every test"; }
log() { printf 'test: %s\n' "$*" >&2; }

# Prints the folder for the tests' files. The tests create and drop some hundred databases, which takes half the time in memory, if it fits.
place_of_files() {
  local free_mb available_mb
  free_mb="$(df -Pm "${MEMORY}" 2> /dev/null | awk 'NR == 2 {print $4}')"
  available_mb="$(awk '$1 == "MemAvailable:" {print int($2 / 1024)}' /proc/meminfo)"
  if (( ${free_mb:-0} >= MEMORY_MB && available_mb >= AVAILABLE_MB )) && ! grep -q " ${MEMORY} [^ ]* [^ ]*noexec" /proc/mounts; then
    echo "${MEMORY}"
  else
    echo "${TMPDIR:-/tmp}"
  fi
}

main() {
  if (( $# )); then usage; [[ "$1" == --help ]] && exit 0 || exit 1; fi
  cd "${ROOT}"
  unset PYTHONDONTWRITEBYTECODE  # otherwise each of some hundred processes would compile this repository
  scripts/setup.sh --environments
  results="$(mktemp --directory --tmpdir="$(place_of_files)")"
  export TMPDIR="${results}"
  trap 'kill ${ingest:-} 2> /dev/null || true; wait; rm -rf "${results}"' EXIT
  # The output of ingest's tests is printed at the end.
  log "ingest on $(.venv/ingest/bin/python --version), in the background"
  .venv/ingest/bin/python -m pytest -p no:cacheprovider tests/ingest > "${results}/ingest" 2>&1 &
  ingest=$!
  scripts/setup.sh
  log "linters"
  scripts/lint.sh
  log "everything else on $(.venv/main/bin/python --version)"
  # The order of the tests is kept: tests/conftest.py puts long tests first, and decides which tests share a process.
  .venv/main/bin/python -m slipcover --json --out "${results}/covered" \
    -m pytest --numprocesses "$(nproc)" --dist loadscope --no-loadscope-reorder \
    --ignore tests/ingest --ignore tests/templates  # the linters run the templates' tests
  .venv/main/bin/python -m slipcover --fail-under "${LEAST_COVERAGE}" --skip-covered --out "${results}/covered" --merge "${results}/covered"
  local ended=0
  wait "${ingest}" || ended=$?
  log "ingest on $(.venv/ingest/bin/python --version)"
  cat "${results}/ingest"
  (( ended == 0 )) || exit 1
}

main "$@"
