#!/usr/bin/env bash
# Starts the schedule again that scripts/pause.sh has stopped, and says what has waited. Safe to run again.
# Needs: what scripts/setup.sh installs, and a deployed pipeline; credentials, region and, for a local stack, AWS_ENDPOINT_URL in the
# environment (eval "$(scripts/local.sh env)" sets them). Options: --help tells them.
# Exits: 0 the schedule is active; 1 failed; 2 could not start.
set -euo pipefail
unset CDPATH  # with it, cd may go to another folder, and prints which
export LC_ALL=C.UTF-8  # numbers, letters and messages are the same for everybody

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
readonly ROOT
readonly PYTHON="${ROOT}/.venv/main/bin/python"

main() {
  [[ -x "${PYTHON}" ]] || { echo "resume: nothing is installed: run scripts/setup.sh" >&2; exit 2; }
  PYTHONPATH="${ROOT}:${ROOT}/glue_jobs" exec "${PYTHON}" -m operations.workflows.resume "$@"
}

main "$@"
