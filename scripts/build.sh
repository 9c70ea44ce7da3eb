#!/usr/bin/env bash
# Makes what is built of the package. pkg/wasm: the module, its glue and the glue's types; left as it is when neither what goes
# in nor what came out has changed, and replaced only by a build that succeeded. pkg/index.js: the package's scripts and the
# glue as one file.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/env.sh"
[ -n "${CONCORDIA_SET_UP:-}" ] || bash scripts/setup.sh --without-browser

OUT=pkg/wasm
RAW=target/wasm-bindgen
FRESH=target/wasm-package
STAMP=target/wasm-package.stamp

# The features that rustc's own output uses; wasm-opt refuses a module that uses more than it was told.
FEATURES=(--enable-bulk-memory --enable-mutable-globals --enable-sign-ext --enable-nontrapping-float-to-int
  --enable-reference-types --enable-multivalue)

# The standard library comes with the toolchain as it was compiled for speed and for messages on panic. Compiled anew for size,
# and with a panic that traps at once, the module is a quarter smaller: nothing is left of formatting, locations and
# unwinding. These are options that cargo and rustc do not call stable yet, hence RUSTC_BOOTSTRAP; the toolchain is
# pinned, so they mean the same in a year.
TRAP=(-Zunstable-options -Cpanic=immediate-abort -Zlocation-detail=none -Zfmt-debug=none
  # Measured: 0.2 kB less than with the default.
  -Cllvm-args=--inline-threshold=10
  # Measured: references kept in a JavaScript array weigh 1.2 kB less than those in a table of the module.
  -Ctarget-feature=-reference-types,-multivalue)
SMALL_STD=(-Zbuild-std=std,panic_abort -Zbuild-std-features=optimize_for_size)

# Measured, gzip: -Oz alone 98.6 kB, all of this 97.2 kB. Nothing lies in the first 1024 bytes: the stack grows down to there.
PASSES=(--flatten --rereloop --flexible-inline-max-function-size=4 --one-caller-inline-max-function-size=200 -Oz -Oz --converge --low-memory-unused
  --strip-debug --strip-producers --strip-target-features)

hash_of() { find "$@" -type f 2>/dev/null | LC_ALL=C sort | xargs -r -d '\n' sha256sum | sha256sum; }
inputs() {
  hash_of src Cargo.toml Cargo.lock rust-toolchain.toml .cargo package-lock.json scripts/build.sh scripts/shorten.js scripts/snip.js scripts/wasm-binary.js scripts/setup.sh
  printf '%s\n' "RUSTFLAGS=${RUSTFLAGS:-}"
}
state() { printf '%s\n%s\n' "$1" "$(hash_of "$OUT")"; }

# What sessions do is a file of its own, which index.js loads when it is needed.
#
# One file: a page that is told of a dozen, one behind the other, loads for some 25 ms longer (measured, on the same machine).
#
# Measured, gzip: what esbuild has made small terser makes smaller by another 1.6 kB, of it 0.3 by hoist_funs.
bundle() {
  esbuild pkg/face.js --bundle --minify --format=esm --target=es2022 --external:node:fs/promises --external:./session.js \
    --log-level=warning --outfile=target/index.js
  terser target/index.js --module --mangle --compress passes=3,ecma=2022,hoist_funs --output pkg/index.js
  esbuild pkg/session/rest.js --bundle --minify --format=esm --target=es2022 --log-level=warning --outfile=pkg/session.js
}

before="$(inputs)"
if [ -f "$OUT/concordia_bg.wasm" ] && [ "$(cat "$STAMP" 2>/dev/null)" = "$(state "$before")" ]; then
  bundle
  say "build: $OUT is up to date"
  exit 0
fi

# Not by wasm-pack, which only the tests use: it builds the library as Cargo.toml has it, cdylib and rlib at once, and then
# cargo leaves out link-time optimisation, which is worth 30 kB.
say "build: cargo"
RUSTC_BOOTSTRAP=1 RUSTFLAGS="${TRAP[*]} ${RUSTFLAGS:-}" \
  cargo rustc --lib --release --locked --target wasm32-unknown-unknown --crate-type cdylib "${SMALL_STD[@]}"

say "build: wasm-bindgen"
rm -rf "$FRESH" "$RAW"
wasm-bindgen --target web --omit-default-module-path --out-name concordia --out-dir "$RAW" \
  "${CARGO_TARGET_DIR:-target}/wasm32-unknown-unknown/release/concordia.wasm"

say "build: wasm-opt"
node scripts/snip.js "$RAW/concordia_bg.wasm"
wasm-opt "${FEATURES[@]}" "${PASSES[@]}" "$RAW/concordia_bg.wasm" -o "$RAW/optimised.wasm"
mv "$RAW/optimised.wasm" "$RAW/concordia_bg.wasm"

# The glue and the scripts of src/web become one file; the enums stay apart, so that esbuild can put their values where they are used.
say "build: esbuild"
node scripts/shorten.js "$RAW"
mkdir -p "$FRESH"
esbuild "$RAW/concordia.js" --bundle --format=esm --target=es2022 --external:./enums.ts --log-level=warning --outfile="$FRESH/concordia.js"
mv "$RAW/enums.ts" "$FRESH"
mv "$RAW/concordia.d.ts" "$RAW/concordia_bg.wasm" "$FRESH"

mkdir -p pkg
rm -rf "$OUT"
mv "$FRESH" "$OUT"
state "$before" >"$STAMP"
bundle
say "build: $OUT/concordia_bg.wasm, $(stat -c %s "$OUT/concordia_bg.wasm") bytes"
