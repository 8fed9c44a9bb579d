#!/usr/bin/env bash
# The firmware in C that links both crates: lints of the library, the tests in C, two routers that ping each other through
# a tunnel on this computer, and the same two on a Cortex-M4 in QEMU.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. .ci/bare-metal.sh
TARGET=thumbv7em-none-eabihf
sysroot_for "$TARGET"

cd examples/router-firmware
cargo fmt --check
cargo clippy --locked --release -- -D warnings
make --no-print-directory test run
RUSTFLAGS="--sysroot $SYSROOT" make --no-print-directory CARGO="${CARGO[*]}" arm run-arm
