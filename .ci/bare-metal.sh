# What is needed to build for a target without an operating system. Source it.
#
# `core`, and nothing else, comes from the toolchain's target (`rustup target add TARGET`) where that is installed; else it
# is built from source with Debian's rustc-web, which as root is installed when missing.

WORK=$PWD/target/no-std
mkdir -p "$WORK"

fail() {
    echo "$(basename "$0"): $*" >&2
    exit 1
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

# firmware_build BIN: builds a program of examples/cortex-m for $TARGET; sets ELF. Not --locked: that workspace has a lock
# file of its own, which follows what the crates depend on.
firmware_build() {
    local linker
    command -v size > /dev/null && command -v nm > /dev/null || fail "lacks nm and size (Debian package binutils)"
    linker=$(rustc --print sysroot)/lib/rustlib/$(rustc -vV | sed -n 's/^host: //p')/bin/rust-lld
    [[ -x $linker ]] || linker=$(command -v ld.lld || command -v lld || fail "lacks rust-lld (Debian package lld)")
    (cd examples/cortex-m && "${CARGO[@]}" build -q --release --bin "$1" --target "$TARGET" --target-dir "$WORK/target" \
        --config "target.$TARGET.rustflags = ['--sysroot', '$SYSROOT', '-C', 'linker=$linker']") ||
        fail "the firmware does not build"
    ELF=$WORK/target/$TARGET/release/$1
}

# sizes WHAT: what $ELF takes of flash and RAM.
sizes() {
    size -A "$ELF" | awk -v what="$TARGET: $1" '
        { size[$1] = $2 }
        END {
            flash = size[".vector_table"] + size[".text"] + size[".rodata"] + size[".data"]
            printf "%s: flash %.1f KB, .data %d bytes, .bss %.1f KB\n", what, flash / 1024, size[".data"], size[".bss"] / 1024
        }'
}
