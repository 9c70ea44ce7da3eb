#!/usr/bin/env bash
# Builds, prints what the package weighs on the wire, and fails above the limit.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"
bash scripts/build.sh
exec node scripts/size.js
