#!/usr/bin/env bash
# Tries mistakes on the engine, each of which the simulation or another native test must see: `npm run mutants`, or
# `npm run mutants -- "NAME"` for one of tests/mutants/mutants.js.
set -euo pipefail
. "$(dirname "$0")/env.sh"
node scripts/mutants.js "$@"
