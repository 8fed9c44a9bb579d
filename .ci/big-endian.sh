#!/usr/bin/env bash
# Runs the known answers of both crates as a big-endian 32-bit machine would: MIPS, in QEMU's user mode. Words of 32
# bits and the other byte order show what assumes anything else.
#
# The target's libraries are built from source with Debian's rustc-web; as root the packages are installed when missing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
unset CARGO_TARGET_DIR RUSTDOC CARGO_ENCODED_RUSTFLAGS

PACKAGES=(rustc-web cargo-web rust-web-src gcc-mips-linux-gnu libc6-dev-mips-cross qemu-user)
TARGET=mips-unknown-linux-gnu

if ! dpkg -s "${PACKAGES[@]}" > /dev/null 2>&1; then
    if [[ $(id -u) != 0 ]] || ! command -v apt-get > /dev/null; then
        echo "big-endian: lacks one of the Debian packages ${PACKAGES[*]}" >&2
        exit 1
    fi
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends "${PACKAGES[@]}" > /dev/null
fi

# RUSTC_BOOTSTRAP lets the standard library be built; `cpubits` would then choose other words than a stable compiler's.
export RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 RUSTFLAGS='--cfg cpubits="32"'
export CARGO_TARGET_MIPS_UNKNOWN_LINUX_GNU_LINKER=mips-linux-gnu-gcc
export CARGO_TARGET_MIPS_UNKNOWN_LINUX_GNU_RUNNER='qemu-mips -L /usr/mips-linux-gnu'

tests() {
    /usr/bin/cargo test -q --locked -Zbuild-std=std,panic_unwind --target "$TARGET" --target-dir target/big-endian "$@"
}
tests -p ike-core --features legacy --test kat_dh --test kat_keys --test kat_prf_cbc --test wire
tests -p esp-core --features legacy --lib known_answers
