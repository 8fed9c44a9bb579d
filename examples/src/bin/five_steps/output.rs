//! What `--out` writes: the capture, and the keys that go with it.

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::Path;
use std::time::Duration;

use examples::capture::{CAPTURE, KeyLog, Pcap};
use examples::sim::World;

/// The first of January 2026: the same seed writes the same file, so the clock of the wall has no part in it.
const EPOCH: Duration = Duration::from_secs(1_767_225_600);

/// Writes the three files into `directory`.
pub(crate) fn write(directory: &Path, world: &World<'_>) -> io::Result<()> {
    let named = |error: io::Error| {
        io::Error::new(error.kind(), format!("{}: {error}", directory.display()))
    };
    let mut keys = KeyLog::create(directory).map_err(named)?;
    for (cookie, key) in &world.keys.ike {
        keys.ike_sa(*cookie, key)?;
    }
    for line in &world.keys.esp {
        keys.esp_line(line)?;
    }
    let file = File::create(directory.join(CAPTURE)).map_err(named)?;
    let mut pcap = Pcap::new(BufWriter::new(file))?;
    for (at, packet) in world.captured.iter().flatten() {
        pcap.packet(EPOCH + Duration::from_millis(at.as_millis()), packet)?;
    }
    pcap.flush()
}
