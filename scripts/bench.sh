#!/usr/bin/env bash
# Sets up, builds, and measures in a real browser, side by side with the alternatives.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"
bash scripts/setup.sh
CONCORDIA_SET_UP=1 bash scripts/build.sh
exec node benches/run.js "$@"
