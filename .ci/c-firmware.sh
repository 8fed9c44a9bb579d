#!/usr/bin/env bash
# The firmware in C that links both crates: lints of the library, the tests in C, two routers that ping each other through
# a tunnel on this computer, and the same two on a Cortex-M4 in QEMU.
#
# The library for the Cortex-M4 is built by the toolchain's target (`rustup target add thumbv7em-none-eabihf`) where that
# is installed; else with Debian's rustc-web, which as root is installed when missing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../examples/router-firmware"

TARGET=thumbv7em-none-eabihf
PACKAGES=(rustc-web cargo-web rust-web-src)

cargo fmt --check
cargo clippy --locked --release -- -D warnings
make --no-print-directory test run

CARGO=cargo
if ! compgen -G "$(rustc --print target-libdir --target "$TARGET")/libcore-*.rlib" > /dev/null; then
    if ! dpkg -s "${PACKAGES[@]}" > /dev/null 2>&1; then
        if [[ $(id -u) != 0 ]] || ! command -v apt-get > /dev/null; then
            echo "c-firmware: lacks target $TARGET (rustup target add $TARGET), or Debian's ${PACKAGES[*]}" >&2
            exit 1
        fi
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "${PACKAGES[@]}" > /dev/null
    fi
    # RUSTC_BOOTSTRAP lets `core` be built; `cpubits` would then choose other words than a stable compiler's.
    CARGO='env RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 /usr/bin/cargo -Zbuild-std=core'
    export RUSTFLAGS='--cfg cpubits="32"'
fi
make --no-print-directory CARGO="$CARGO" arm run-arm
