#!/usr/bin/env bash
# Sets up, builds, and runs the demo's page and REST server, which prints its address. PORT chooses the port (8080).
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"
bash scripts/setup.sh --without-browser
CONCORDIA_SET_UP=1 bash scripts/build.sh
exec node www/server.js
