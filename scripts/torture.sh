#!/usr/bin/env bash
# Kills browsers and lives histories for an hour or more, and writes the figures into docs/reliability.md:
#
#   npm run torture                                       500 kills, 5 000 000 histories
#   npm run torture -- --kills 50 --histories 100000      less
#   npm run torture -- --seed 42 --mutants                from that seed on, and the mutants as well
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"
bash scripts/build.sh
exec node scripts/torture.js "$@"
