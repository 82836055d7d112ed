#!/usr/bin/env bash
# Installs what is needed, and deploys the pipeline with `scripts/totesys deploy`. --help lists the options.
# Needs: what scripts/setup.sh needs; AWS credentials and a region in the environment; for a local stack also AWS_ENDPOINT_URL
# (eval "$(scripts/local.sh env)" sets all of them). Safe to run again.
# Exits: 0 deployed, or planned; 1 not, and the last line says why; 2 could not start; 130 interrupted.
set -euo pipefail
unset CDPATH  # with CDPATH, cd may go to another folder, and print its name

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
readonly ROOT

main() {
  "${ROOT}/scripts/setup.sh"
  exec "${ROOT}/scripts/totesys" deploy "$@"
}

main "$@"
