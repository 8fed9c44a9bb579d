//! The expanded keys of one SA and direction, and what they do to a packet laid out in the buffer.

use super::Transform;
use super::aead::AeadKeys;
use super::cbc_hmac::{CbcDecrypt, CbcEncrypt};
use super::hmac::{Hmac, MAX_DIGEST};
use super::multi_buffer::{self, SEAL_LANES, SealLane, VerifyLane};
use crate::SaError;
use crate::batch::BATCH;
use crate::packet::PacketBuf;

/// The high half of an extended sequence number, which is authenticated and not sent (RFC 4303 §2.2.1), or nothing.
pub(crate) type HighBits = Option<[u8; 4]>;

/// Keys for sealing.
#[allow(
    clippy::large_enum_variant,
    reason = "the keys are the SA; there is no heap to put them on"
)]
pub(crate) enum SealKeys {
    /// Gone.
    Wiped,
    /// RFC 3602, 2451 with RFC 2404, 4868.
    CbcHmac(CbcEncrypt, Hmac),
    /// RFC 2410.
    NullHmac(Hmac),
    /// RFC 4106, 4543, 7634.
    Aead(AeadKeys),
}

/// Keys for opening.
#[allow(
    clippy::large_enum_variant,
    reason = "the keys are the SA; there is no heap to put them on"
)]
pub(crate) enum OpenKeys {
    /// Gone.
    Wiped,
    /// RFC 3602, 2451 with RFC 2404, 4868.
    CbcHmac(CbcDecrypt, Hmac),
    /// RFC 2410.
    NullHmac(Hmac),
    /// RFC 4106, 4543, 7634.
    Aead(AeadKeys),
}

/// Cuts cipher and integrity key out of the key material.
fn split(transform: Transform, keys: &[u8]) -> Result<(&[u8], &[u8]), SaError> {
    let wrong = SaError::KeyLength { needed: transform.key_material_len(), given: keys.len() };
    if keys.len() != transform.key_material_len() {
        return Err(wrong);
    }
    let cipher_len = match transform {
        Transform::CbcHmac(cipher, _) => cipher.key_len(),
        Transform::NullHmac(_) => 0,
        Transform::Aead(aead) => aead.key_and_salt_len(),
    };
    keys.split_at_checked(cipher_len).ok_or(wrong)
}

impl SealKeys {
    /// Expands `keys`.
    pub(crate) fn new(transform: Transform, keys: &[u8]) -> Result<Self, SaError> {
        let (cipher_key, integrity_key) = split(transform, keys)?;
        let wrong = SaError::KeyLength { needed: transform.key_material_len(), given: keys.len() };
        match transform {
            Transform::CbcHmac(cipher, integrity) => Ok(Self::CbcHmac(
                CbcEncrypt::new(cipher, cipher_key).ok_or(wrong)?,
                Hmac::new(integrity, integrity_key),
            )),
            Transform::NullHmac(integrity) => {
                Ok(Self::NullHmac(Hmac::new(integrity, integrity_key)))
            }
            Transform::Aead(aead) => Ok(Self::Aead(AeadKeys::new(aead, cipher_key).ok_or(wrong)?)),
        }
    }

    /// Encrypts and authenticates `esp`, from the SPI to the end of the room for the ICV. The IV field holds the
    /// packet's counter: encrypted in place for CBC, as it is for a combined mode.
    pub(crate) fn seal(&self, transform: Transform, esp: &mut [u8], high: HighBits) {
        let mut lane = seal_lane(esp, transform, high);
        match self {
            // Nobody seals with keys that are gone; if somebody did, nothing would leave in clear.
            Self::Wiped => lane.message.fill(0),
            // Below this length the plain sequence is quicker (measured).
            Self::CbcHmac(cipher, hmac) if lane.message.len() < 128 => {
                cipher.seal_plainly(Some(hmac), &mut lane);
            }
            Self::CbcHmac(cipher, hmac) => cipher.seal(Some(hmac), &mut [lane]),
            Self::NullHmac(hmac) => hmac.sign(lane.message, suffix(&high), lane.icv),
            Self::Aead(keys) => keys.seal(lane.message, high, lane.icv),
        }
    }

    /// The same for several packets, which are all different ones, sorted by length.
    pub(crate) fn seal_batch(
        &self,
        transform: Transform,
        packets: &mut [PacketBuf<'_>],
        jobs: &[Job],
    ) {
        match self {
            Self::CbcHmac(cipher, hmac) if multi_buffer::goes_in_step(hmac, jobs.len()) => {
                seal_groups(cipher, None, transform, packets, jobs);
                sign_batch(hmac, transform, packets, jobs);
            }
            Self::CbcHmac(cipher, hmac) => {
                seal_groups(cipher, Some(hmac), transform, packets, jobs);
            }
            Self::NullHmac(hmac) => sign_batch(hmac, transform, packets, jobs),
            Self::Wiped | Self::Aead(_) => {
                for job in jobs {
                    if let Some(packet) = packets.get_mut(job.packet) {
                        self.seal(transform, job.esp_mut(packet.packet_mut()), job.high);
                    }
                }
            }
        }
    }
}

/// Encrypts packets side by side, and authenticates them if `hmac` is there.
fn seal_groups(
    cipher: &CbcEncrypt,
    hmac: Option<&Hmac>,
    transform: Transform,
    packets: &mut [PacketBuf<'_>],
    jobs: &[Job],
) {
    let (groups, rest) = jobs.as_chunks::<SEAL_LANES>();
    groups.iter().for_each(|group| seal_group(cipher, hmac, transform, packets, group));
    let (groups, rest) = rest.as_chunks::<4>();
    groups.iter().for_each(|group| seal_group(cipher, hmac, transform, packets, group));
    let (groups, rest) = rest.as_chunks::<2>();
    groups.iter().for_each(|group| seal_group(cipher, hmac, transform, packets, group));
    let (groups, _) = rest.as_chunks::<1>();
    groups.iter().for_each(|group| seal_group(cipher, hmac, transform, packets, group));
}

fn seal_group<const K: usize>(
    cipher: &CbcEncrypt,
    hmac: Option<&Hmac>,
    transform: Transform,
    packets: &mut [PacketBuf<'_>],
    jobs: &[Job; K],
) {
    let Ok(packets) = packets.get_disjoint_mut(jobs.each_ref().map(|job| job.packet)) else {
        return;
    };
    let mut jobs = jobs.iter();
    let mut lanes = packets.map(|packet| match jobs.next() {
        Some(job) => seal_lane(job.esp_mut(packet.packet_mut()), transform, job.high),
        None => seal_lane(&mut [], transform, None),
    });
    cipher.seal(hmac, &mut lanes);
}

/// Writes the ICVs of packets that are encrypted.
fn sign_batch(hmac: &Hmac, transform: Transform, packets: &mut [PacketBuf<'_>], jobs: &[Job]) {
    let macs = macs(hmac, transform, packets, jobs);
    for (job, mac) in jobs.iter().zip(&macs) {
        let Some(packet) = packets.get_mut(job.packet) else { continue };
        if let Some((_, icv)) = split_icv(job.esp_mut(packet.packet_mut()), transform) {
            hmac.put(mac, icv);
        }
    }
}

/// The MAC of each packet, in the order of `jobs`.
fn macs(
    hmac: &Hmac,
    transform: Transform,
    packets: &[PacketBuf<'_>],
    jobs: &[Job],
) -> [[u8; MAX_DIGEST]; BATCH] {
    let mut lanes = [VerifyLane { message: &[], suffix: &[] }; BATCH];
    for (lane, job) in lanes.iter_mut().zip(jobs) {
        let packet = packets.get(job.packet).map(PacketBuf::packet).unwrap_or_default();
        let (message, _) = job.split(packet, transform);
        *lane = VerifyLane { message, suffix: suffix(&job.high) };
    }
    let mut macs = [[0; MAX_DIGEST]; BATCH];
    multi_buffer::macs(hmac, lanes.get(..jobs.len()).unwrap_or_default(), &mut macs);
    macs
}

/// One packet of a batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Job {
    /// Its place in the batch.
    pub(crate) packet: usize,
    /// The slot of its SA.
    pub(crate) sa: usize,
    /// Where in it ESP is.
    pub(crate) esp_at: usize,
    pub(crate) esp_len: usize,
    pub(crate) high: HighBits,
}

impl Job {
    /// No packet.
    pub(crate) const NONE: Self = Self { packet: 0, sa: 0, esp_at: 0, esp_len: 0, high: None };

    fn esp_mut<'p>(&self, packet: &'p mut [u8]) -> &'p mut [u8] {
        packet
            .get_mut(self.esp_at..)
            .and_then(|rest| rest.get_mut(..self.esp_len))
            .unwrap_or_default()
    }

    /// What is authenticated, and the ICV.
    fn split<'p>(&self, packet: &'p [u8], transform: Transform) -> (&'p [u8], &'p [u8]) {
        let esp = packet.get(self.esp_at..).and_then(|rest| rest.get(..self.esp_len));
        let esp = esp.unwrap_or_default();
        esp.split_at(esp.len().saturating_sub(transform.icv_len()))
    }
}

fn suffix(high: &HighBits) -> &[u8] {
    high.as_ref().map_or(&[], |high| high)
}

fn seal_lane(esp: &mut [u8], transform: Transform, high: HighBits) -> SealLane<'_> {
    let (message, icv) = split_icv(esp, transform).unwrap_or_default();
    SealLane { message, suffix: high.unwrap_or_default(), suffix_len: suffix(&high).len(), icv }
}

impl OpenKeys {
    /// Expands `keys`.
    pub(crate) fn new(transform: Transform, keys: &[u8]) -> Result<Self, SaError> {
        let (cipher_key, integrity_key) = split(transform, keys)?;
        let wrong = SaError::KeyLength { needed: transform.key_material_len(), given: keys.len() };
        match transform {
            Transform::CbcHmac(cipher, integrity) => Ok(Self::CbcHmac(
                CbcDecrypt::new(cipher, cipher_key).ok_or(wrong)?,
                Hmac::new(integrity, integrity_key),
            )),
            Transform::NullHmac(integrity) => {
                Ok(Self::NullHmac(Hmac::new(integrity, integrity_key)))
            }
            Transform::Aead(aead) => Ok(Self::Aead(AeadKeys::new(aead, cipher_key).ok_or(wrong)?)),
        }
    }

    /// Checks the ICV of `esp`, from the SPI to the end of the ICV, unless that was done, and only
    /// then decrypts it in place. Whether it was right. The caller has checked that the encrypted
    /// part is whole blocks.
    pub(crate) fn open(
        &self,
        transform: Transform,
        esp: &mut [u8],
        high: HighBits,
        verified: Verified,
    ) -> bool {
        let Some((message, icv)) = split_icv(esp, transform) else { return false };
        let check = |hmac: &Hmac, message: &[u8]| match verified {
            Verified::NotYet => hmac.verify(message, suffix(&high), icv),
            Verified::Good => true,
            Verified::Bad => false,
        };
        match self {
            Self::Wiped => false,
            Self::CbcHmac(cipher, hmac) => {
                let good = check(hmac, message);
                if good
                    && let Some((header, payload)) =
                        message.split_at_mut_checked(8_usize.saturating_add(transform.iv_len()))
                {
                    cipher.decrypt(header.get(8..).unwrap_or_default(), payload);
                }
                good
            }
            Self::NullHmac(hmac) => check(hmac, message),
            Self::Aead(keys) => keys.open(message, high, icv),
        }
    }

    /// Checks the ICVs of several packets, sorted by length, side by side; the answer of each goes
    /// to its place in `verified`. A combined mode checks while it opens: its packets stay as they
    /// are.
    pub(crate) fn verify_batch(
        &self,
        transform: Transform,
        packets: &[PacketBuf<'_>],
        jobs: &[Job],
        verified: &mut [Verified],
    ) {
        let (Self::CbcHmac(_, hmac) | Self::NullHmac(hmac)) = self else { return };
        let macs = macs(hmac, transform, packets, jobs);
        for (job, mac) in jobs.iter().zip(&macs) {
            let packet = packets.get(job.packet).map(PacketBuf::packet).unwrap_or_default();
            let (_, icv) = job.split(packet, transform);
            if let Some(place) = verified.get_mut(job.packet) {
                *place = if hmac.matches(mac, icv) { Verified::Good } else { Verified::Bad };
            }
        }
    }
}

/// What is known of a packet's ICV.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verified {
    NotYet,
    Good,
    Bad,
}

fn split_icv(esp: &mut [u8], transform: Transform) -> Option<(&mut [u8], &mut [u8])> {
    let message_len = esp.len().checked_sub(transform.icv_len())?;
    esp.split_at_mut_checked(message_len)
}
