#!/usr/bin/env bash
# Prints what the pipeline costs on AWS in a month, from prices and usage that stand in operations/cost/. Asks nobody: no AWS, no network.
# Needs: what scripts/setup.sh installs.
# Exits: 0 printed; 2 not understood.
set -euo pipefail
unset CDPATH  # with it, cd may go to another folder, and prints which
export LC_ALL=C.UTF-8  # numbers, letters and messages are the same for everybody

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
readonly ROOT
readonly PYTHON="${ROOT}/.venv/main/bin/python"

main() {
  [[ -x "${PYTHON}" ]] || { echo "cost: nothing is installed: run scripts/setup.sh" >&2; exit 2; }
  PYTHONPATH="${ROOT}:${ROOT}/glue_jobs" exec "${PYTHON}" -m operations.cli.cost "$@"
}

main "$@"
