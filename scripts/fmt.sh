#!/usr/bin/env bash
# Formats everything in place, as `npm run lint` wants it.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"
bash scripts/setup.sh --without-browser
cargo fmt
prettier --write --log-level warn .
