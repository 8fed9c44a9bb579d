#!/usr/bin/env bash
# Runs the firmware of examples/cortex-m in QEMU: a board with a Cortex-M4 brings a tunnel up with strongSwan (ESP in UDP) and
# with the gateway (ESP over IP), sends a hundred pings through it and deletes it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PATH=$HOME/.cargo/bin:$PATH
built=${CARGO_TARGET_DIR:-$PWD/target}
unset CARGO_TARGET_DIR RUSTFLAGS CARGO_ENCODED_RUSTFLAGS
. .ci/bare-metal.sh

(cd examples/cortex-m && cargo fmt --check)

CARGO_TARGET_DIR=$built cargo build --locked --release -p examples --features legacy --bin gateway

TARGET=thumbv7em-none-eabihf
sysroot_for "$TARGET"
firmware_build vpn
for memory in RESOURCES TABLES; do
    [[ $(nm -C "$ELF" | grep -c " [bB] .*::$memory$") == 1 ]] || fail "$memory is not in .bss"
done
sizes "VPN client with smoltcp, Ethernet driver, MODP-2048, AES-128, SHA-256"
examples/cortex-m/run "$ELF"
GATEWAY=$built/release/gateway examples/cortex-m/run -g "$ELF"
