#!/usr/bin/env bash
# Tries mistakes on the engine, each of which the simulation or another native test must see.
#
#   npm run mutants                          those of tests/mutants/mutants.js
#   npm run mutants -- "NAME"                one of them
#   npm run mutants -- --cargo               all that cargo-mutants knows, about an hour: writes docs/mutants.md
#   npm run mutants -- --cargo "TEXT"        those of them in whose name the text is; --new tries again what was found out before
set -euo pipefail
. "$(dirname "$0")/env.sh"
if [ "${1:-}" = --cargo ]; then
  shift
  bash scripts/setup.sh --cargo-mutants
  exec node scripts/cargo-mutants.js "$@"
fi
node scripts/mutants.js "$@"
