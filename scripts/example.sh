#!/usr/bin/env bash
# Sets up, builds, and starts an example: `npm run example redis`, `npm run example express-session`, `npm run example browser-login`.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"
[ -f "examples/${1:-}/start.js" ] || fail "Which example? There are: $(cd examples && echo */)"
bash scripts/setup.sh --without-browser
CONCORDIA_SET_UP=1 bash scripts/build.sh
exec node "examples/$1/start.js" "${@:2}"
