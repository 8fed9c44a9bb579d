//! Builds the contenders, if the feature `peers` asks for them; without it nothing but Rust is needed.
//!
//! Those in C are compiled here and need the headers of the libraries (Debian: libssl-dev, libipsec-mb-dev); one whose library is
//! not installed is left out, with a word. Those in Rust are a workspace of their own with a lock file of its own.

fn main() {
    println!("cargo::rerun-if-changed=peers");
    println!("cargo::rustc-check-cfg=cfg(openssl, ipsec_mb, rust_peers)");
    #[cfg(feature = "peers")]
    peers::build();
}

#[cfg(feature = "peers")]
mod peers {
    use std::env::var;
    use std::path::Path;
    use std::process::Command;

    pub fn build() {
        compile("openssl", "crypto");
        compile("ipsec_mb", "IPSec_MB");
        build_rust();
    }

    fn compile(name: &str, library: &str) {
        let compiled = cc::Build::new()
            .file(format!("peers/{name}.c"))
            .opt_level(3)
            .flag_if_supported("-Wno-deprecated-declarations")
            .cargo_warnings(false)
            .try_compile(name);
        if compiled.is_ok() {
            println!("cargo::rustc-cfg={name}");
            println!("cargo::rustc-link-lib={library}");
        } else {
            println!("cargo::warning=no contender {name}: its library is not installed");
        }
    }

    fn build_rust() {
        // Beside the profiles in the target folder, where it is found again whatever else changes.
        let out = var("OUT_DIR").expect("set by cargo");
        let target =
            Path::new(&out).ancestors().nth(4).expect("in the target folder").join("peers");
        let built = Command::new(var("CARGO").expect("set by cargo"))
            .args(["build", "--release", "--locked", "--manifest-path", "peers/rust/Cargo.toml"])
            .arg("--target-dir")
            .arg(&target)
            .status();
        if built.is_ok_and(|status| status.success()) {
            let libraries = target.join("release");
            println!("cargo::rustc-cfg=rust_peers");
            println!("cargo::rustc-link-search=native={}", libraries.display());
            println!("cargo::rustc-link-lib=dylib=rust_peers");
            println!("cargo::rustc-link-arg=-Wl,-rpath,{}", libraries.display());
        } else {
            println!("cargo::warning=no contenders in Rust: they did not build");
        }
    }
}
