//! Capture files that Wireshark opens, and the key files with which it reads what is encrypted in them.
//!
//! ```text
//! DIR/capture.pcap             whole IP packets, LINKTYPE_RAW
//! DIR/ikev1_decryption_table   one line an IKE SA:   initiator cookie, key
//! DIR/esp_sa                   one line a direction: family, addresses, SPI, algorithms, keys
//!
//! WIRESHARK_CONFIG_DIR=DIR tshark -r DIR/capture.pcap \
//!     -o esp.enable_encryption_decode:TRUE -o esp.enable_authentication_check:TRUE
//! ```
//!
//! Whoever has these files can read the traffic: they are for debugging, and made readable by their owner only.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use esp_core::{Aead, BlockCipher, Integrity, SaParams, Transform};

/// The name of the capture inside a directory.
pub const CAPTURE: &str = "capture.pcap";
/// The name under which Wireshark looks for keys of IKEv1 SAs.
pub const IKE_KEYS: &str = "ikev1_decryption_table";
/// The name under which Wireshark looks for keys of ESP SAs.
pub const ESP_KEYS: &str = "esp_sa";

/// Writes packets in the classic pcap format: microseconds, little-endian, LINKTYPE_RAW (IPv4 or IPv6 by the first
/// four bits).
#[derive(Debug)]
pub struct Pcap<W: Write> {
    to: W,
}

impl<W: Write> Pcap<W> {
    const MAGIC: u32 = 0xa1b2_c3d4;
    const SNAP_LENGTH: u32 = 262_144;
    const LINKTYPE_RAW: u32 = 101;

    /// Writes the head of the file.
    ///
    /// # Errors
    ///
    /// What the writer returns.
    pub fn new(mut to: W) -> io::Result<Self> {
        let mut head = [0; 24];
        head[0..4].copy_from_slice(&Self::MAGIC.to_le_bytes());
        head[4..6].copy_from_slice(&2_u16.to_le_bytes());
        head[6..8].copy_from_slice(&4_u16.to_le_bytes());
        head[16..20].copy_from_slice(&Self::SNAP_LENGTH.to_le_bytes());
        head[20..24].copy_from_slice(&Self::LINKTYPE_RAW.to_le_bytes());
        to.write_all(&head)?;
        Ok(Self { to })
    }

    /// Appends one whole IP packet, seen at `time` since 1970.
    ///
    /// # Errors
    ///
    /// What the writer returns.
    pub fn packet(&mut self, time: Duration, packet: &[u8]) -> io::Result<()> {
        let length = u32::try_from(packet.len()).map_err(io::Error::other)?;
        // The format holds 32 bits of seconds: good until 2106.
        let seconds = u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
        let mut head = [0; 16];
        head[0..4].copy_from_slice(&seconds.to_le_bytes());
        head[4..8].copy_from_slice(&time.subsec_micros().to_le_bytes());
        head[8..12].copy_from_slice(&length.to_le_bytes());
        head[12..16].copy_from_slice(&length.to_le_bytes());
        self.to.write_all(&head)?;
        self.to.write_all(packet)
    }

    /// Hands what was written to whoever reads the file meanwhile.
    ///
    /// # Errors
    ///
    /// What the writer returns.
    pub fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// The two key files of a directory, appended to as SAs come up.
#[derive(Debug)]
pub struct KeyLog {
    ike: File,
    esp: File,
    written: BTreeSet<String>,
}

impl KeyLog {
    /// Begins both files anew in `directory`, which is made if it is not there.
    ///
    /// # Errors
    ///
    /// What the file system returns.
    pub fn create(directory: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(directory)?;
        let ike = private(&directory.join(IKE_KEYS))?;
        let esp = private(&directory.join(ESP_KEYS))?;
        Ok(Self { ike, esp, written: BTreeSet::new() })
    }

    /// The key of an IKE SA, under the initiator's cookie. A line is written once, however often it is given.
    ///
    /// # Errors
    ///
    /// What the file system returns.
    pub fn ike_sa(&mut self, initiator_cookie: [u8; 8], key: &[u8]) -> io::Result<()> {
        let line = ike_line(initiator_cookie, key);
        if self.written.insert(line.clone()) { self.ike.write_all(line.as_bytes()) } else { Ok(()) }
    }

    /// The keys of one direction of a child SA. `params` of both ends give the same line.
    ///
    /// # Errors
    ///
    /// What the file system returns.
    pub fn esp_sa(&mut self, params: &SaParams) -> io::Result<()> {
        self.esp_line(&esp_line(params))
    }

    /// The keys of one direction of a child SA, as [`esp_line`] wrote them.
    ///
    /// # Errors
    ///
    /// What the file system returns.
    pub fn esp_line(&mut self, line: &str) -> io::Result<()> {
        if self.written.insert(line.to_string()) {
            self.esp.write_all(line.as_bytes())
        } else {
            Ok(())
        }
    }
}

/// One line of [`IKE_KEYS`].
#[must_use]
pub fn ike_line(initiator_cookie: [u8; 8], key: &[u8]) -> String {
    format!("{},{}\n", hex(&initiator_cookie), hex(key))
}

/// One line of [`ESP_KEYS`]. Addresses are given as "any": an SPI is enough, and a NAT would change them.
#[must_use]
pub fn esp_line(params: &SaParams) -> String {
    let family = if params.remote.is_ipv4() { "IPv4" } else { "IPv6" };
    let (cipher, integrity, cipher_key) = algorithms(params.transform);
    let (encryption, authentication) = params.keys.as_slice().split_at(cipher_key);
    let key =
        |bytes: &[u8]| if bytes.is_empty() { String::new() } else { format!("0x{}", hex(bytes)) };
    format!(
        "\"{family}\",\"*\",\"*\",\"0x{}\",\"{cipher}\",\"{}\",\"{integrity}\",\"{}\"\n",
        params.spi,
        key(encryption),
        key(authentication),
    )
}

/// Wireshark's names, and the length of the cipher key (with its salt) at the head of the key material.
fn algorithms(transform: Transform) -> (&'static str, &'static str, usize) {
    match transform {
        Transform::CbcHmac(cipher, integrity) => {
            (cbc_name(cipher), hmac_name(integrity), cipher.key_len())
        }
        Transform::NullHmac(integrity) => ("NULL", hmac_name(integrity), 0),
        Transform::Aead(aead) => (aead_name(aead), "NULL", aead.key_and_salt_len()),
        _ => ("NULL", "NULL", 0),
    }
}

fn cbc_name(cipher: BlockCipher) -> &'static str {
    match cipher {
        BlockCipher::Aes128 | BlockCipher::Aes192 | BlockCipher::Aes256 => "AES-CBC [RFC3602]",
        #[cfg(feature = "legacy")]
        BlockCipher::TripleDes => "TripleDES-CBC [RFC2451]",
        _ => "NULL",
    }
}

fn hmac_name(integrity: Integrity) -> &'static str {
    match integrity {
        Integrity::HmacSha1_96 => "HMAC-SHA-1-96 [RFC2404]",
        Integrity::HmacSha256_128 => "HMAC-SHA-256-128 [RFC4868]",
        Integrity::HmacSha384_192 => "HMAC-SHA-384-192 [RFC4868]",
        Integrity::HmacSha512_256 => "HMAC-SHA-512-256 [RFC4868]",
        #[cfg(feature = "legacy")]
        Integrity::HmacMd5_96 => "HMAC-MD5-96 [RFC2403]",
        #[cfg(feature = "legacy")]
        Integrity::HmacSha256_96 => "HMAC-SHA-256-96 [draft-ietf-ipsec-ciph-sha-256-00]",
        _ => "ANY 128 bit authentication [no checking]",
    }
}

fn aead_name(aead: Aead) -> &'static str {
    match aead {
        Aead::Aes128Gcm16 | Aead::Aes192Gcm16 | Aead::Aes256Gcm16 => {
            "AES-GCM with 16 octet ICV [RFC4106]"
        }
        Aead::ChaCha20Poly1305 => "ChaCha20 with Poly1305 [RFC7634]",
        _ => "NULL",
    }
}

/// Lower-case hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// A new file that only its owner can read, where the system knows such a thing.
fn private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    options.open(path)
}

#[cfg(test)]
mod tests {
    use esp_core::{Encap, KeyMaterial, Lifetime, Mode, PolicyId, Selector, Spi, TrafficSelectors};

    use super::*;

    #[test]
    fn pcap_head_and_record() {
        let mut bytes = Vec::new();
        let mut pcap = Pcap::new(&mut bytes).unwrap();
        pcap.packet(Duration::from_micros(3_000_005), &[0x45, 1, 2]).unwrap();
        assert_eq!(bytes.len(), 24 + 16 + 3);
        assert_eq!(bytes[..8], [0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0]);
        assert_eq!(bytes[20..24], [101, 0, 0, 0]);
        assert_eq!(bytes[24..], [3, 0, 0, 0, 5, 0, 0, 0, 3, 0, 0, 0, 3, 0, 0, 0, 0x45, 1, 2]);
    }

    #[test]
    fn key_lines() {
        assert_eq!(ike_line([1, 2, 3, 4, 5, 6, 7, 0xab], &[0xff, 0]), "01020304050607ab,ff00\n");
        let params = SaParams {
            spi: Spi::new(0x0a0b_0c0d).unwrap(),
            mode: Mode::Tunnel,
            local: [192, 0, 2, 1].into(),
            remote: [192, 0, 2, 2].into(),
            encap: Encap::None,
            transform: Transform::CbcHmac(BlockCipher::Aes128, Integrity::HmacSha1_96),
            keys: KeyMaterial::from_slice(&[0x11; 36]).unwrap(),
            esn: false,
            replay_window: 64,
            lifetime: Lifetime::UNLIMITED,
            selectors: TrafficSelectors {
                local: Selector::ANY,
                remote: Selector::ANY,
                protocol: esp_core::Protocol::Any,
            },
            dscp: esp_core::DscpSet::ALL,
            policy: PolicyId(1),
            owner: 0,
        };
        let expected = format!(
            "\"IPv4\",\"*\",\"*\",\"0x0a0b0c0d\",\"AES-CBC [RFC3602]\",\"0x{}\",\"HMAC-SHA-1-96 [RFC2404]\",\"0x{}\"\n",
            "11".repeat(16),
            "11".repeat(20),
        );
        assert_eq!(esp_line(&params), expected);
    }

    #[test]
    fn a_key_is_logged_once() {
        let directory = std::env::temp_dir().join(format!("keylog-{}", std::process::id()));
        let mut log = KeyLog::create(&directory).unwrap();
        log.ike_sa([1; 8], &[2; 16]).unwrap();
        log.ike_sa([1; 8], &[2; 16]).unwrap();
        drop(log);
        let text = std::fs::read_to_string(directory.join(IKE_KEYS)).unwrap();
        assert_eq!(text.lines().count(), 1);
        std::fs::remove_dir_all(directory).unwrap();
    }
}
