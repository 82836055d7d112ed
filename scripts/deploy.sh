#!/usr/bin/env bash
# Deploys the pipeline: stacks, code, credentials and catalog tables; then proves that all of it is there.
# Needs: what scripts/setup.sh installs; AWS credentials and a region in the environment; for a local stack also AWS_ENDPOINT_URL
# (eval "$(scripts/local.sh env)" sets all of them). Safe to run again.
# Exits: 0 deployed; 1 not, and the last line says why; 2 not understood.
set -euo pipefail

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
readonly ROOT

usage() {
  cat << 'TEXT'
usage: scripts/deploy.sh [--help]

Deploys to AWS, or to a local stack when AWS_ENDPOINT_URL is set.

  AWS_REGION, AWS_PROFILE, ...  as for every AWS tool
  TOTESYS_PROJECT               name that everything begins with (totesys)
  TOTESYS_SOURCE_URL            postgresql://user:password@host:port/dbname of totesys, and of the warehouse:
  TOTESYS_WAREHOUSE_URL         a role that may create roles gets the pipeline one of its own; any other is used as it is.
                                Without a URL, what the secret <project>/source or <project>/warehouse holds is kept.
  TOTESYS_<PARAMETER>           any parameter of a template in cloudformation/, such as
                                TOTESYS_SCHEDULE, TOTESYS_WORKERS, TOTESYS_SUBNET_ID
  TOTESYS_ACCEPT_BREAKING       tables, with commas between, whose contracts may break their readers in this deploy
TEXT
}

main() {
  if [[ "${1:-}" == --help ]]; then usage; exit 0; fi
  if (( $# )); then usage >&2; exit 2; fi
  "${ROOT}/scripts/setup.sh"
  PYTHONPATH="${ROOT}:${ROOT}/glue_jobs" exec "${ROOT}/.venv/main/bin/python" -m operations.deploy.command
}

main "$@"
