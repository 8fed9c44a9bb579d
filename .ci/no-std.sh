#!/usr/bin/env bash
# Builds both crates for bare metal, without `std` and without `alloc`, and looks where the memory of an endpoint lies.
#
#   .ci/no-std.sh              all targets
#   .ci/no-std.sh TARGET...    only these
#
# The sysroot it builds against holds `core` and nothing else, so that a dependency which wants `alloc` does not compile.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PATH=$HOME/.cargo/bin:$PATH
unset CARGO_TARGET_DIR RUSTFLAGS CARGO_ENCODED_RUSTFLAGS
. .ci/bare-metal.sh

TARGETS=(thumbv7em-none-eabihf thumbv6m-none-eabi riscv32imc-unknown-none-elf)
(($# == 0)) || TARGETS=("$@")

# Features that a user may switch on: not `std`, not those with an underscore, which are private.
public_features() {
    sed -n '/^\[features\]/,/^\[/ s/^\([a-z][a-z0-9-]*\) *=.*/\1/p' "$1/Cargo.toml" |
        grep -vx -e default -e std | sed "s|^|$1/|" | paste -sd, -
}

check() {
    RUSTFLAGS="--sysroot $SYSROOT" "${CARGO[@]}" check -q --locked --target "$TARGET" \
        --target-dir "$WORK/target" "$@"
}

# footprint: links the engine into a firmware and looks at the sections: its memory must lie in .bss, all of it, so that
# it costs no flash.
footprint() {
    firmware_build footprint
    [[ $(nm -C "$ELF" | grep -c ' [bB] .*footprint::RESOURCES$') == 1 ]] ||
        fail "Resources is not in .bss: $(nm -C "$ELF" | grep RESOURCES)"
    [[ $(nm -C "$ELF" | grep -c '__rust_alloc') == 0 ]] || fail "the firmware allocates"
    sizes "firmware with MODP-2048, AES-128, SHA-256"
}

FEATURES=$(public_features ike-core),$(public_features esp-core)
FEATURES=${FEATURES%,}
for TARGET in "${TARGETS[@]}"; do
    began=$SECONDS
    sysroot_for "$TARGET"
    # Each crate by itself: in one build the features of one would be unified with the other's.
    check -p esp-core
    check -p ike-core
    check -p ike-core -p esp-core --features "${FEATURES#,}"
    [[ $TARGET != thumb* ]] || footprint
    echo "$TARGET: compiles without alloc, default features and $FEATURES ($((SECONDS - began)) s)"
done
