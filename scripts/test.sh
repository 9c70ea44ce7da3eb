#!/usr/bin/env bash
# Sets up whatever is missing, then runs every part of the test suite, or only the parts named:
#
#   npm test                 everything
#   npm test -- native e2e   those parts (scripts/test.js lists them)
#
# The last line is `N passed, N failed` for the whole.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"
if ! bash scripts/setup.sh; then
  echo "setup failed, so no test could run"
  echo "0 passed, 1 failed"
  exit 1
fi
CONCORDIA_SET_UP=1 exec node scripts/test.js "$@"
