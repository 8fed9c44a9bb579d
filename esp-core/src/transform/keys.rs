//! The expanded keys of one SA and direction, and what they do to a packet laid out in the buffer.

use super::Transform;
use super::aead::AeadKeys;
use super::cbc_hmac::{CbcDecrypt, CbcEncrypt};
use super::hmac::Hmac;
use super::multi_buffer::{self, SEAL_LANES, SealLane, VERIFY_LANES, VerifyLane};
use crate::SaError;
use crate::packet::PacketBuf;
use crate::slots::{Place, whole};

/// The high half of an extended sequence number, which is authenticated and not sent (RFC 4303 §2.2.1), or nothing.
pub(crate) type HighBits = Option<[u8; 4]>;

/// Keys for sealing.
#[allow(
    clippy::large_enum_variant,
    reason = "the keys are the SA; there is no heap to put them on"
)]
pub(crate) enum SealKeys {
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
    /// RFC 3602, 2451 with RFC 2404, 4868.
    CbcHmac(CbcDecrypt, Hmac),
    /// RFC 2410.
    NullHmac(Hmac),
    /// RFC 4106, 4543, 7634.
    Aead(AeadKeys),
}

// An SA that has ended has no keys any more. In their place are zeros: to drop them wipes what they are made of, and not what
// lies between.
whole!(SealKeys, OpenKeys);

impl Place<SealKeys> {
    /// [`SealKeys::seal`].
    #[inline]
    pub(crate) fn seal(&self, transform: Transform, esp: &mut [u8], high: HighBits) {
        match self.get() {
            Some(keys) => keys.seal(transform, esp, high),
            // Nobody seals with keys that are gone; if somebody did, nothing would leave in clear.
            None => seal_lane(esp, transform, high).message.fill(0),
        }
    }

    /// [`SealKeys::seal_batch`].
    #[inline]
    pub(crate) fn seal_batch(
        &self,
        transform: Transform,
        packets: &mut [PacketBuf<'_>],
        jobs: &[Job],
    ) {
        if let Some(keys) = self.get() {
            return keys.seal_batch(transform, packets, jobs);
        }
        for job in jobs {
            if let Some(packet) = packets.get_mut(job.packet) {
                self.seal(transform, job.esp(packet.packet_mut()), job.high);
            }
        }
    }
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
            // Below this length the plain sequence is quicker (measured).
            Self::CbcHmac(cipher, hmac) if lane.message.len() < 128 => {
                cipher.seal_plainly(hmac, &mut lane);
            }
            Self::CbcHmac(cipher, hmac) => cipher.seal(hmac, &mut [lane]),
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
        let mut rest = jobs;
        if let Self::CbcHmac(cipher, hmac) = self {
            while let Some((group, others)) = rest.split_first_chunk::<SEAL_LANES>() {
                seal_group(cipher, hmac, transform, packets, group);
                rest = others;
            }
            if let Some((group, others)) = rest.split_first_chunk::<4>() {
                seal_group(cipher, hmac, transform, packets, group);
                rest = others;
            }
            if let Some((group, others)) = rest.split_first_chunk::<2>() {
                seal_group(cipher, hmac, transform, packets, group);
                rest = others;
            }
        }
        for job in rest {
            if let Some(packet) = packets.get_mut(job.packet) {
                self.seal(transform, job.esp(packet.packet_mut()), job.high);
            }
        }
    }
}

fn seal_group<const K: usize>(
    cipher: &CbcEncrypt,
    hmac: &Hmac,
    transform: Transform,
    packets: &mut [PacketBuf<'_>],
    jobs: &[Job; K],
) {
    let Ok(packets) = packets.get_disjoint_mut(jobs.map(|job| job.packet)) else { return };
    let mut jobs = jobs.iter();
    let mut lanes = packets.map(|packet| match jobs.next() {
        Some(job) => seal_lane(job.esp(packet.packet_mut()), transform, job.high),
        None => seal_lane(&mut [], transform, None),
    });
    cipher.seal(hmac, &mut lanes);
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

    fn esp<'p>(&self, packet: &'p mut [u8]) -> &'p mut [u8] {
        packet
            .get_mut(self.esp_at..)
            .and_then(|rest| rest.get_mut(..self.esp_len))
            .unwrap_or_default()
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
            Verified::As { high: then, good } if then == high => good,
            _ => hmac.verify(message, suffix(&high), icv),
        };
        match self {
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
        let mut rest = jobs;
        while let Some((group, others)) = rest.split_first_chunk::<VERIFY_LANES>() {
            verify_group(hmac, transform, packets, group, verified);
            rest = others;
        }
        if let Some((group, others)) = rest.split_first_chunk::<2>() {
            verify_group(hmac, transform, packets, group, verified);
            rest = others;
        }
        if let Some(group) = rest.first_chunk::<1>() {
            verify_group(hmac, transform, packets, group, verified);
        }
    }
}

/// What is known of a packet's ICV.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verified {
    NotYet,
    /// Right or wrong, if these are the high bits.
    As {
        high: HighBits,
        good: bool,
    },
}

fn verify_group<const K: usize>(
    hmac: &Hmac,
    transform: Transform,
    packets: &[PacketBuf<'_>],
    jobs: &[Job; K],
    verified: &mut [Verified],
) {
    let parts = jobs.each_ref().map(|job| {
        let packet = packets.get(job.packet).map(PacketBuf::packet).unwrap_or_default();
        let esp = packet.get(job.esp_at..).and_then(|rest| rest.get(..job.esp_len));
        let esp = esp.unwrap_or_default();
        esp.split_at(esp.len().saturating_sub(transform.icv_len()))
    });
    let mut jobs_of_lanes = jobs.iter();
    let lanes = parts.map(|(message, _)| VerifyLane {
        message,
        suffix: jobs_of_lanes.next().map_or(&[], |job| suffix(&job.high)),
    });
    let macs = multi_buffer::macs(hmac, &lanes);
    for ((job, mac), (_, icv)) in jobs.iter().zip(&macs).zip(parts) {
        if let Some(place) = verified.get_mut(job.packet) {
            *place = Verified::As { high: job.high, good: hmac.matches(mac, icv) };
        }
    }
}

fn split_icv(esp: &mut [u8], transform: Transform) -> Option<(&mut [u8], &mut [u8])> {
    let message_len = esp.len().checked_sub(transform.icv_len())?;
    esp.split_at_mut_checked(message_len)
}
