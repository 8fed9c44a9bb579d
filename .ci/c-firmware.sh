#!/usr/bin/env bash
# The firmware in C that links both crates: lints of the library, the tests in C, two routers that ping each other through
# a tunnel on this computer, and the same two on a Cortex-M4 in QEMU.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PATH=$HOME/.cargo/bin:$PATH
unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS
. .ci/bare-metal.sh

(cd examples/router-firmware && cargo fmt --check && cargo clippy --locked --release -- -D warnings)
make --no-print-directory -C examples/router-firmware test run

sysroot_for thumbv7em-none-eabihf
CARGO_TARGET_DIR=$WORK/target RUSTFLAGS="--sysroot $SYSROOT" \
    make --no-print-directory -C examples/router-firmware CARGO="${CARGO[*]}" arm run-arm
