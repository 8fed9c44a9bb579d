//! The text of the gateway's configuration: it is refused with lines that are there, or makes a configuration.
#![no_main]

use std::path::Path;

use ike_core::config::Sizes;

#[allow(dead_code, reason = "a program's module; here only what reads text")]
#[path = "../../examples/src/bin/gateway"]
mod gateway {
    pub mod config;
}

/// What the gateway has.
const SIZES: Sizes = Sizes { ike_sas: 64, exchanges: 128, child_sas: 256, message: 2048 };

libfuzzer_sys::fuzz_target!(|text: &str| {
    // Keys in files are as the administrator's file system has them.
    if text.contains("psk_file") {
        return;
    }
    match gateway::config::Site::parse(text, Path::new("/nowhere")) {
        Ok(site) => {
            let tables = site.tables();
            assert_eq!(site.peer_configs(&tables).len(), site.peers.len());
            for (_, finding) in site.findings() {
                assert!(!finding.at(Path::new("site.toml")).is_empty());
            }
        }
        Err(mistakes) => {
            assert!(!mistakes.is_empty());
            let lines = text.lines().count().max(1);
            assert!(
                mistakes.iter().all(|mistake| mistake.line.is_none_or(|line| line <= lines + 1))
            );
        }
    }
});
