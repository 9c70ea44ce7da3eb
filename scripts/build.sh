#!/usr/bin/env bash
# Makes pkg/wasm, the compiled half of the package: the module, its glue and the glue's types. Does nothing when neither
# what goes in nor what came out has changed. What is in pkg/wasm is replaced only by a build that succeeded.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"
[ -n "${CONCORDIA_SET_UP:-}" ] || bash scripts/setup.sh --without-browser

OUT=pkg/wasm
FRESH=target/wasm-package
STAMP=target/wasm-package.stamp

# The features that rustc's own output uses; wasm-opt refuses a module that uses more than it was told.
FEATURES=(--enable-bulk-memory --enable-mutable-globals --enable-sign-ext --enable-nontrapping-float-to-int
  --enable-reference-types --enable-multivalue)

hash_of() { find "$@" -type f 2>/dev/null | LC_ALL=C sort | xargs -r -d '\n' sha256sum | sha256sum; }
inputs() {
  hash_of src Cargo.toml Cargo.lock rust-toolchain.toml .cargo package-lock.json scripts/build.sh scripts/setup.sh
  printf '%s\n' "RUSTFLAGS=${RUSTFLAGS:-}"
}
state() { printf '%s\n%s\n' "$1" "$(hash_of "$OUT")"; }

before="$(inputs)"
if [ -f "$OUT/concordia_bg.wasm" ] && [ "$(cat "$STAMP" 2>/dev/null)" = "$(state "$before")" ]; then
  say "build: $OUT is up to date"
  exit 0
fi

say "build: wasm-pack"
rm -rf "$FRESH"
# no-install: wasm-bindgen is the pinned one of PATH. no-pack, no-gitignore: pkg/ has a package.json of its own, and a
# .gitignore in the output would keep npm from packing it.
wasm-pack build . --release --target web --mode no-install --no-pack --no-gitignore --out-name concordia --out-dir "$FRESH"

say "build: wasm-opt"
wasm-opt -Oz "${FEATURES[@]}" "$FRESH/concordia_bg.wasm" -o "$FRESH/optimised.wasm"
mv "$FRESH/optimised.wasm" "$FRESH/concordia_bg.wasm"
rm -f "$FRESH/.gitignore" "$FRESH/package.json"

mkdir -p pkg
rm -rf "$OUT"
mv "$FRESH" "$OUT"
state "$before" >"$STAMP"
say "build: $OUT/concordia_bg.wasm, $(stat -c %s "$OUT/concordia_bg.wasm") bytes"
