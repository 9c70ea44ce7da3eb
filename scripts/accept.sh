#!/usr/bin/env bash
# Builds, and runs the acceptance tests over the packed package, or only those named:
#
#   npm run accept                 all
#   npm run accept -- once auth    those (tests/accept/*.test.js)
#
# A line for each: `PASS name`, or `FAIL name` and the first difference.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"
bash scripts/build.sh
exec node scripts/accept.js "$@"
