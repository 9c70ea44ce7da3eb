# Sourced by every other script: where the project and its tools are. Installs nothing.

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
cd "$ROOT"

# Pinned cargo tools live apart from the user's own, so that neither replaces the other.
export CONCORDIA_TOOLS="${CONCORDIA_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/concordia/tools}"
export PATH="$CONCORDIA_TOOLS/bin:$ROOT/node_modules/.bin:${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"

# rust-toolchain.toml alone names the toolchain.
unset RUSTUP_TOOLCHAIN

# wasm-pack downloads a driver of its own unless it is told of one.
if command -v chromedriver >/dev/null; then
  CHROMEDRIVER="$(command -v chromedriver)"
  export CHROMEDRIVER
fi
# Tests and benches start this browser.
if [ -z "${CHROMIUM:-}" ] && command -v chromium >/dev/null; then
  CHROMIUM="$(command -v chromium)"
  export CHROMIUM
fi

# Some of the tests run in a second browser.
if [ -z "${FIREFOX:-}" ] && command -v firefox-esr >/dev/null; then
  FIREFOX="$(command -v firefox-esr)"
  export FIREFOX
fi

say() { printf '== %s\n' "$*"; }
fail() {
  printf 'concordia: %s\n' "$*" >&2
  exit 1
}

# The version that a crate has in Cargo.lock.
locked_version() {
  awk -v crate="name = \"$1\"" '$0 == crate { found = 1; next } found && /^version = / { gsub(/"/, "", $3); print $3; exit }' Cargo.lock
}
