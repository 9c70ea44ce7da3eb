#!/usr/bin/env bash
# Lives histories of the simulation: `npm run simulate -- --seed 42`, or `-- --histories 1000000 --from 7`.
set -euo pipefail
. "$(dirname "$0")/env.sh"
node scripts/simulate.js "$@"
