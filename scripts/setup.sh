#!/usr/bin/env bash
# Installs whatever is missing to build, run and test the project. Safe to run at any time; takes seconds when nothing is.
#
#   bash scripts/setup.sh                    everything
#   bash scripts/setup.sh --without-browser  all but Chromium, its driver and Firefox, which only tests and benches need
#   bash scripts/setup.sh --cargo-mutants    the same, and cargo-mutants, which only `npm run mutants -- --cargo` needs
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"

WASM_PACK_VERSION=0.15.1
CARGO_MUTANTS_VERSION=27.1.0
WASM_BINDGEN_VERSION="$(locked_version wasm-bindgen)"
TOOLCHAIN="$(sed -n 's/^channel *= *"\(.*\)"/\1/p' rust-toolchain.toml)"
TARGET=wasm32-unknown-unknown

main() {
  check_programs
  case "${1:-}" in
    "") install_packages browser ;;
    --without-browser | --cargo-mutants) install_packages ;;
    *) fail "setup.sh knows no options but --without-browser and --cargo-mutants." ;;
  esac
  install_rust
  # The driver that answers the WebAssembly tests and the generator of the glue must be of the crate's own version.
  install_cargo_tool wasm-bindgen-cli "$WASM_BINDGEN_VERSION" wasm-bindgen wasm-bindgen-test-runner
  install_cargo_tool wasm-pack "$WASM_PACK_VERSION" wasm-pack
  [ "${1:-}" != --cargo-mutants ] || install_cargo_tool cargo-mutants "$CARGO_MUTANTS_VERSION" cargo-mutants
  install_node_modules
  say "setup: ready"
}

check_programs() {
  local node
  command -v node >/dev/null || fail "Node is missing. Install Node 20.19 or newer, with npm, then run this again."
  node="$(node -p 'const [a, b] = process.versions.node.split("."); a > 20 || (a == 20 && b >= 19)')"
  [ "$node" = true ] || fail "Node $(node --version) is too old. Install Node 20.19 or newer, then run this again."
  command -v npm >/dev/null || fail "npm is missing. Install it beside Node, then run this again."
  command -v rustup >/dev/null && command -v cargo >/dev/null ||
    fail "rustup and its cargo are missing. Install Rust with rustup, then run this again."
  [ -n "$WASM_BINDGEN_VERSION" ] || fail "Cargo.lock names no version of wasm-bindgen. Restore it from git."
  [ -n "$TOOLCHAIN" ] || fail "rust-toolchain.toml names no channel. Restore it from git."
}

# Debian's packages: the linker that cargo calls, and on demand the browsers.
install_packages() {
  local missing=()
  command -v cc >/dev/null || missing+=(gcc libc6-dev)
  # Tests and examples start it on a port of their own; the service that the package brings stays off.
  command -v redis-server >/dev/null || missing+=(redis-server)
  if [ "${1:-}" = browser ]; then
    command -v "${CHROMIUM:-chromium}" >/dev/null || missing+=(chromium)
    command -v chromedriver >/dev/null || missing+=(chromium-driver)
    command -v "${FIREFOX:-firefox-esr}" >/dev/null || missing+=(firefox-esr)
  fi
  [ ${#missing[@]} -gt 0 ] || return 0

  local as_root=()
  [ "$(id -u)" = 0 ] || as_root=(sudo -n)
  if ! command -v apt-get >/dev/null || ! "${as_root[@]}" true 2>/dev/null; then
    fail "Not installed, and no right to install it: ${missing[*]}. Install it (on Debian: sudo apt-get install ${missing[*]}), then run this again."
  fi
  say "setup: apt-get install ${missing[*]}"
  "${as_root[@]}" apt-get update -q
  # What Debian asks before a package starts its service: no.
  local policy=/usr/sbin/policy-rc.d own=false
  if [ ! -e "$policy" ]; then
    own=true
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
    "${as_root[@]}" chmod +x "$policy"
  fi
  local installed=true
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "${missing[@]}" || installed=false
  [ $own = false ] || "${as_root[@]}" rm "$policy"
  [ $installed = true ] || fail "apt-get could not install ${missing[*]}."
}

# By rustup itself, since it may be told not to install by itself what rust-toolchain.toml names.
install_rust() {
  if ! rustup toolchain list | grep -qE "^$TOOLCHAIN(-| |\$)"; then
    say "setup: Rust $TOOLCHAIN"
    rustup toolchain install "$TOOLCHAIN" --profile minimal --no-self-update -c rustfmt -c clippy -c rust-src -t "$TARGET"
  fi
  if ! rustup target list --installed --toolchain "$TOOLCHAIN" | grep -qx "$TARGET"; then
    say "setup: Rust target $TARGET"
    rustup target add --toolchain "$TOOLCHAIN" "$TARGET"
  fi
  local component installed
  installed="$(rustup component list --installed --toolchain "$TOOLCHAIN")"
  for component in rustfmt clippy rust-src; do
    grep -qE "^$component(-|\$)" <<<"$installed" && continue
    say "setup: Rust component $component"
    rustup component add --toolchain "$TOOLCHAIN" "$component"
  done
}

# install_cargo_tool CRATE VERSION BINARY…: builds the crate unless every binary says that it is of that version.
install_cargo_tool() {
  local crate="$1" version="$2" binary current=true ask
  shift 2
  for binary in "$@"; do
    # cargo calls a subcommand with its name.
    ask=(--version)
    [[ "$binary" != cargo-* ]] || ask=("${binary#cargo-}" --version)
    [ "$("$CONCORDIA_TOOLS/bin/$binary" "${ask[@]}" 2>/dev/null)" = "$binary $version" ] || current=false
  done
  [ $current = false ] || return 0
  say "setup: $crate $version, built once into $CONCORDIA_TOOLS (takes minutes)"
  cargo install --locked --force --root "$CONCORDIA_TOOLS" --version "=$version" "$crate"
}

# The stamp holds the lock file's hash: times say nothing after a checkout.
install_node_modules() {
  local stamp=node_modules/.concordia-lock lock
  lock="$(sha256sum package-lock.json)"
  [ "$(cat "$stamp" 2>/dev/null)" != "$lock" ] || return 0
  say "setup: npm ci"
  npm ci --include=dev --no-audit --no-fund
  printf '%s\n' "$lock" >"$stamp"
}

main "$@"
