//! Compiles the contender in C, if the feature `peers` asks for it.

fn main() {
    println!("cargo::rerun-if-changed=peers/openssl.c");
    #[cfg(feature = "peers")]
    {
        cc::Build::new()
            .file("peers/openssl.c")
            .opt_level(3)
            .flag_if_supported("-Wno-deprecated-declarations")
            .compile("peers");
        println!("cargo::rustc-link-lib=crypto");
    }
}
