#!/usr/bin/env bash
# Builds both crates for bare metal, without `std` and without `alloc`, and looks where the memory of an endpoint lies.
#
#   .ci/no-std.sh              all targets
#   .ci/no-std.sh TARGET...    only these
#
# The sysroot it builds against holds `core` and nothing else, so that a dependency which wants `alloc` does not
# compile. `core` comes from the toolchain's target (`rustup target add TARGET`) where that is installed; else it is
# built from source with Debian's rustc-web, which as root is installed when missing.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export PATH=$HOME/.cargo/bin:$PATH
unset CARGO_TARGET_DIR RUSTFLAGS CARGO_ENCODED_RUSTFLAGS

TARGETS=(thumbv7em-none-eabihf thumbv6m-none-eabi riscv32imc-unknown-none-elf)
(($# == 0)) || TARGETS=("$@")
WORK=$PWD/target/no-std
mkdir -p "$WORK"

fail() {
    echo "no-std: $*" >&2
    exit 1
}

# Features that a user may switch on: not `std`, not those with an underscore, which are private.
public_features() {
    sed -n '/^\[features\]/,/^\[/ s/^\([a-z][a-z0-9-]*\) *=.*/\1/p' "$1/Cargo.toml" |
        grep -vx -e default -e std | sed "s|^|$1/|" | paste -sd, -
}

need_debian_rust() {
    dpkg -s rustc-web cargo-web rust-web-src > /dev/null 2>&1 && return
    [[ $(id -u) == 0 ]] && command -v apt-get > /dev/null ||
        fail "lacks target $1 (rustup target add $1) and Debian's rustc-web, cargo-web, rust-web-src"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -qy --no-install-recommends \
        rustc-web cargo-web rust-web-src > /dev/null
}

# sysroot_for TARGET: sets SYSROOT, CARGO and RUSTC.
sysroot_for() {
    local target=$1 libs from
    libs=$(rustc --print target-libdir --target "$target" 2> /dev/null || true)
    if compgen -G "$libs/libcore-*.rlib" > /dev/null; then
        CARGO=(env cargo) RUSTC=$(rustc --print sysroot)/bin/rustc from="the toolchain"
    else
        need_debian_rust "$target"
        # RUSTC_BOOTSTRAP=-1 makes it a stable compiler: otherwise `cpubits` would choose other words than users get.
        CARGO=(env RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=-1 /usr/bin/cargo) RUSTC=/usr/bin/rustc from="Debian"
        libs=
    fi
    SYSROOT=$WORK/sysroot-$("$RUSTC" -V | cksum | cut -d" " -f1)
    local place=$SYSROOT/lib/rustlib/$target/lib
    if ! compgen -G "$place/libcore-*.rlib" > /dev/null; then
        echo "core for $target from $from"
        [[ -n $libs ]] || libs=$(build_core "$target")
        mkdir -p "$place"
        cp "$libs"/lib{core,compiler_builtins,rustc_std_workspace_core}-*.rlib "$place" 2> /dev/null || true
        compgen -G "$place/libcore-*.rlib" > /dev/null || fail "no core for $target"
    fi
}

# build_core TARGET: builds `core` from Debian's source; prints the folder it lies in.
build_core() {
    local empty=$WORK/empty
    mkdir -p "$empty/src"
    echo '#![no_std]' > "$empty/src/lib.rs"
    printf '[package]\nname = "empty"\nedition = "2024"\n[workspace]\n' > "$empty/Cargo.toml"
    (cd "$empty" && RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 RUSTFLAGS='-Cembed-bitcode=yes -Cpanic=abort' \
        /usr/bin/cargo build -q --release -Zbuild-std=core --target "$1") >&2
    echo "$empty/target/$1/release/deps"
}

check() {
    RUSTFLAGS="--sysroot $SYSROOT" "${CARGO[@]}" check -q --locked --target "$TARGET" \
        --target-dir "$WORK/target" "$@"
}

# footprint: links the engine into a firmware and looks at the sections: its memory must lie in .bss, all of it, so that
# it costs no flash.
footprint() {
    local elf=$WORK/target/$TARGET/release/footprint linker address section
    linker=$(rustc --print sysroot)/lib/rustlib/$(rustc -vV | sed -n 's/^host: //p')/bin/rust-lld
    [[ -x $linker ]] || linker=$(command -v ld.lld || command -v lld || fail "lacks rust-lld (Debian package lld)")
    command -v size > /dev/null && command -v nm > /dev/null || fail "lacks nm and size (Debian package binutils)"
    # Not --locked: this workspace has a lock file of its own, which follows what the crates depend on.
    (cd examples/cortex-m && RUSTFLAGS="--sysroot $SYSROOT -C linker=$linker" "${CARGO[@]}" build -q --release \
        --target "$TARGET" --target-dir "$WORK/target") || fail "the firmware does not build"
    [[ $(nm -C "$elf" | grep -c ' [bB] .*footprint::RESOURCES$') == 1 ]] ||
        fail "Resources is not in .bss: $(nm -C "$elf" | grep RESOURCES)"
    if nm -C "$elf" | grep -q '__rust_alloc'; then fail "the firmware allocates"; fi
    size -A "$elf" | awk -v target="$TARGET" '
        { size[$1] = $2 }
        END {
            flash = size[".vector_table"] + size[".text"] + size[".rodata"] + size[".data"]
            printf "%s: firmware with MODP-2048, AES-128, SHA-256: flash %.1f KB, .data %d bytes, .bss %.1f KB\n",
                target, flash / 1024, size[".data"], size[".bss"] / 1024
        }'
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
