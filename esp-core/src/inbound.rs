//! One inbound SA: opening packets (RFC 4303 §3.4).
//!
//! The order is that of the RFC: the replay window is asked, the ICV is checked, the packet is decrypted, and only then
//! does the window move. Up to the ICV a packet is anybody's and changes nothing but a counter.

use core::fmt;
use core::net::IpAddr;
use core::ops::Range;

use crate::batch::{BATCH, Jobs};
use crate::outbound::sum;
use crate::packet::{NoRoom, PacketBuf};
use crate::replay::ReplayWindow;
use crate::sa::Raised;
use crate::sequence::SequenceNumber;
use crate::slots::Place;
use crate::transform::{HighBits, Job, OpenKeys, Verified};
use crate::tunnel::{Ecn, Outer};
use crate::wire::ip::{self, Fragment, Ip};
use crate::wire::{esp, udp};
use crate::{Association, Counters, Encap, Mode, SaError, SaParams, Spi, Transform, transport};

/// What an incoming buffer holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// A whole IP packet from the outside: ESP, ESP in UDP, or clear traffic.
    Ip,
    /// ESP alone, from the SPI on: the payload of a UDP datagram that was no IKE message, or of a raw socket.
    Esp(Outer),
}

/// An SA for what comes in.
pub struct InboundSa {
    pub(crate) association: Association,
    keys: Place<OpenKeys>,
    window: ReplayWindow,
    counters: Counters,
    pub(crate) raised: Raised,
    ecn: Ecn,
}

/// A packet was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    /// Its sequence number.
    pub sequence: SequenceNumber,
    /// It is newer than every one before it on this SA.
    pub advanced: bool,
    /// Whom it came from.
    pub outer: Outer,
}

/// Why a packet is not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenError {
    /// It is no ESP packet of this SA's algorithms: not IP, not ESP, too short, not whole blocks.
    Malformed,
    /// Its SPI is not this SA's.
    Spi,
    /// It is a fragment: reassembly comes first (RFC 4303 §3.4.1).
    Fragment,
    /// Its sequence number was seen before, or is too old to know.
    Replay,
    /// It is not authentic. Nothing more can be said; every cryptographic failure is this one.
    Integrity,
    /// It is authentic and carries nothing (RFC 4303 §2.6).
    Dummy,
    /// It is authentic, and what it carries is no IP packet, or not one of the length it says.
    Inner,
    /// Congestion was marked outside and the inner packet cannot carry the mark (RFC 6040 §4.2).
    Congestion,
    /// The SA has reached a hard limit; its keys are gone.
    Expired,
    /// There is too little room in front of the packet for the IP header that the arrival did not bring.
    NoRoom(NoRoom),
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "not an ESP packet",
            Self::Spi => "another SPI",
            Self::Fragment => "a fragment",
            Self::Replay => "replayed or too old",
            Self::Integrity => "not authentic",
            Self::Dummy => "a dummy packet",
            Self::Inner => "the inner packet is malformed",
            Self::Congestion => "congestion marked on a packet that cannot carry the mark",
            Self::Expired => "the SA has expired",
            Self::NoRoom(room) => return room.fmt(f),
        })
    }
}

impl core::error::Error for OpenError {}

/// Where ESP is in an incoming packet.
#[derive(Clone, Debug)]
pub(crate) struct Located {
    pub(crate) spi: Spi,
    low: u32,
    esp: Range<usize>,
    /// Length of the IP headers in front, and which of their bytes names what comes behind them; `None` if there are none.
    header: Option<(usize, usize)>,
    pub(crate) outer: Outer,
}

/// A packet that was opened.
pub(crate) struct Concluded {
    sequence: SequenceNumber,
    pub(crate) advanced: bool,
    /// The headers of what came out.
    pub(crate) ip: Ip,
}

impl Concluded {
    const fn opened(&self, located: &Located) -> Opened {
        Opened { sequence: self.sequence, advanced: self.advanced, outer: located.outer }
    }
}

/// What an incoming packet is.
#[derive(Clone, Debug)]
pub(crate) enum Incoming {
    Esp(Located),
    Clear(Ip),
}

/// Finds ESP in an incoming packet. `encap_port` is our UDP port for it; `None` takes any.
pub(crate) fn locate(
    packet: &[u8],
    arrival: &Arrival,
    encap_port: Option<u16>,
) -> Result<Incoming, OpenError> {
    if let Arrival::Esp(outer) = *arrival {
        let (spi, low) = esp::parse_header(packet).ok_or(OpenError::Malformed)?;
        return Ok(Incoming::Esp(Located { spi, low, esp: 0..packet.len(), header: None, outer }));
    }
    let ip = Ip::parse(packet).map_err(|_| OpenError::Malformed)?;
    let behind_ip = packet.get(ip.payload_at..ip.total_len).ok_or(OpenError::Malformed)?;
    let (encap, esp_at, esp_len) = match ip.protocol {
        esp::PROTOCOL if ip.fragment != Fragment::Whole => return Err(OpenError::Fragment),
        esp::PROTOCOL => (Encap::None, ip.payload_at, behind_ip.len()),
        udp::PROTOCOL if ip.fragment == Fragment::Whole => {
            let Some((source, destination, len)) = udp::parse(behind_ip) else {
                return Ok(Incoming::Clear(ip));
            };
            let payload = behind_ip.get(udp::HEADER_LEN..).unwrap_or_default();
            // RFC 3948 §2: four zero bytes mark IKE, a single 0xff is a keepalive.
            let marker = payload.first_chunk::<4>().is_none_or(|first| *first == [0; 4]);
            if encap_port.is_some_and(|port| port != destination) || marker || len < esp::HEADER_LEN
            {
                return Ok(Incoming::Clear(ip));
            }
            let encap = Encap::Udp { local_port: destination, remote_port: source };
            (encap, ip.payload_at.saturating_add(udp::HEADER_LEN), len)
        }
        _ => return Ok(Incoming::Clear(ip)),
    };
    let esp = esp_at..esp_at.saturating_add(esp_len);
    let (spi, low) =
        packet.get(esp.clone()).and_then(esp::parse_header).ok_or(OpenError::Malformed)?;
    let outer = Outer {
        local: ip.destination(),
        remote: ip.source(),
        encap,
        traffic_class: ip.traffic_class,
        dont_fragment: ip.dont_fragment,
    };
    Ok(Incoming::Esp(Located {
        spi,
        low,
        esp,
        header: Some((ip.payload_at, ip.protocol_at)),
        outer,
    }))
}

/// Where the quoted front of a packet of ours was going and under which SPI. What is quoted may be cut anywhere
/// behind the SPI: RFC 792 promises eight bytes behind the IP header.
pub(crate) fn locate_quoted(quoted: &[u8]) -> Option<(IpAddr, Spi)> {
    let ip = Ip::parse_cut(quoted)?;
    let behind_ip = quoted.get(ip.payload_at..)?;
    let esp = match ip.protocol {
        esp::PROTOCOL => behind_ip,
        udp::PROTOCOL => behind_ip.get(udp::HEADER_LEN..)?,
        _ => return None,
    };
    let spi = Spi::new(u32::from_be_bytes(*esp.first_chunk()?))?;
    Some((ip.destination(), spi))
}

impl InboundSa {
    /// An SA that has received nothing, and treats congestion marks by RFC 6040.
    ///
    /// # Errors
    /// If `params` makes no sense.
    pub fn new(params: SaParams) -> Result<Self, SaError> {
        params.check()?;
        Ok(Self {
            association: Association::from(&params),
            keys: Place::Used(OpenKeys::new(params.transform, params.keys.as_slice())?),
            window: ReplayWindow::new(params.replay_window),
            counters: Counters::default(),
            raised: Raised::default(),
            ecn: Ecn::Copy,
        })
    }

    /// The same, treating congestion marks as `ecn` says.
    #[must_use]
    pub const fn with(mut self, ecn: Ecn) -> Self {
        self.ecn = ecn;
        self
    }

    /// Its SPI.
    #[must_use]
    pub const fn spi(&self) -> Spi {
        self.association.spi
    }

    /// The key manager's name for it.
    #[must_use]
    pub const fn owner(&self) -> u64 {
        self.association.owner
    }

    /// What it has carried.
    #[must_use]
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// What it is, its keys apart.
    #[must_use]
    pub const fn association(&self) -> &Association {
        &self.association
    }

    /// Whether it has ended: its keys are gone, and it waits to be removed.
    #[must_use]
    pub const fn has_ended(&self) -> bool {
        self.raised.hard
    }

    /// Packets that its anti-replay window spans.
    #[must_use]
    pub const fn replay_window(&self) -> u16 {
        self.window.size()
    }

    /// The highest sequence number received; 0 before the first packet.
    #[must_use]
    pub const fn newest_sequence(&self) -> SequenceNumber {
        SequenceNumber(self.window.newest())
    }

    pub(crate) const fn window(&self) -> &ReplayWindow {
        &self.window
    }

    /// Goes on with this window, having carried `counters`.
    pub(crate) fn restore(&mut self, window: ReplayWindow, counters: Counters) {
        (self.window, self.counters) = (window, counters);
    }

    /// Opens a packet in place: what remains is the IP packet inside. The caller still has to check it against policy,
    /// as [`crate::Processor::inbound`] does.
    ///
    /// # Errors
    /// Up to [`OpenError::Integrity`] nothing of the SA has changed but a counter, and the packet is as it was. With
    /// the errors behind it the packet was authentic, its number is taken, and what the buffer holds is of no use.
    pub fn open(
        &mut self,
        packet: &mut PacketBuf<'_>,
        arrival: Arrival,
    ) -> Result<Opened, OpenError> {
        let located = self.begin(packet, arrival)?;
        let concluded = self.conclude(packet, &located, Verified::NotYet);
        concluded.map(|concluded| concluded.opened(&located))
    }

    /// Opens several packets, which is quicker than one by one: the result is the same. Packets for
    /// which there is no arrival or no place in `results` are left alone.
    pub fn open_batch(
        &mut self,
        packets: &mut [PacketBuf<'_>],
        arrivals: &[Arrival],
        results: &mut [Result<Opened, OpenError>],
    ) {
        let arrivals = arrivals.chunks(BATCH);
        for ((packets, arrivals), results) in
            packets.chunks_mut(BATCH).zip(arrivals).zip(results.chunks_mut(BATCH))
        {
            let mut jobs = Jobs::new();
            let mut admitted = [const { None }; BATCH];
            let each = packets.iter().zip(arrivals).zip(results.iter_mut()).zip(&mut admitted);
            for (at, (((packet, arrival), result), admitted)) in each.enumerate() {
                match self.begin(packet, *arrival) {
                    Ok(located) => {
                        if let Some(job) = self.job(at, 0, &located) {
                            jobs.push(job);
                        }
                        *admitted = Some(located);
                    }
                    Err(error) => *result = Err(error),
                }
            }
            let mut verified = [Verified::NotYet; BATCH];
            self.verify_batch(packets, jobs.sorted(), &mut verified);
            let each = packets.iter_mut().zip(results).zip(&admitted).zip(verified);
            for (((packet, result), admitted), verified) in each {
                if let Some(located) = admitted {
                    let concluded = self.conclude(packet, located, verified);
                    *result = concluded.map(|concluded| concluded.opened(located));
                }
            }
        }
    }

    fn begin(&self, packet: &PacketBuf<'_>, arrival: Arrival) -> Result<Located, OpenError> {
        match locate(packet.packet(), &arrival, None)? {
            Incoming::Esp(located) if located.spi == self.association.spi => {
                self.admit(packet, &located)?;
                Ok(located)
            }
            Incoming::Esp(_) => Err(OpenError::Spi),
            Incoming::Clear(_) => Err(OpenError::Malformed),
        }
    }

    /// What is to be verified of a packet that was admitted; nothing if its number is refused as things are
    /// or the SA has ended.
    pub(crate) fn job(&self, at: usize, sa: usize, located: &Located) -> Option<Job> {
        let sequence = self.number(located);
        if self.raised.hard || self.window.check(sequence).is_err() {
            return None;
        }
        let high = self.high(sequence);
        Some(Job { packet: at, sa, esp_at: located.esp.start, esp_len: located.esp.len(), high })
    }

    /// The packet's number in full.
    fn number(&self, located: &Located) -> SequenceNumber {
        if self.association.esn {
            self.window.infer(located.low)
        } else {
            SequenceNumber(located.low.into())
        }
    }

    fn high(&self, sequence: SequenceNumber) -> HighBits {
        self.association.esn.then(|| sequence.high().to_be_bytes())
    }

    /// Checks the ICVs of packets that were admitted, sorted by length.
    pub(crate) fn verify_batch(
        &self,
        packets: &[PacketBuf<'_>],
        jobs: &[Job],
        verified: &mut [Verified],
    ) {
        if let Some(keys) = self.keys.get() {
            keys.verify_batch(self.association.transform, packets, jobs, verified);
        }
    }

    /// Replay check, cryptography unless it was done, and all that follows, for a packet that was
    /// admitted. In a batch other packets may have been concluded since: a copy of this, or one that moved the window, and
    /// what its low half stands for with it.
    pub(crate) fn conclude(
        &mut self,
        packet: &mut PacketBuf<'_>,
        located: &Located,
        verified: Verified,
    ) -> Result<Concluded, OpenError> {
        if self.raised.hard {
            return Err(OpenError::Expired);
        }
        let sequence = self.number(located);
        if self.window.check(sequence).is_err() {
            self.counters.replayed = self.counters.replayed.saturating_add(1);
            return Err(OpenError::Replay);
        }
        let high = self.high(sequence);
        let esp = packet.packet_mut().get_mut(located.esp.clone()).ok_or(OpenError::Malformed)?;
        let transform = self.association.transform;
        if !self.keys.get().is_some_and(|keys| keys.open(transform, esp, high, verified)) {
            self.counters.integrity = self.counters.integrity.saturating_add(1);
            return Err(OpenError::Integrity);
        }
        self.accept(packet, located, sequence)
    }

    /// Whether the packet has the shape that this SA's packets have.
    pub(crate) fn admit(&self, packet: &PacketBuf<'_>, located: &Located) -> Result<(), OpenError> {
        let transform = self.association.transform;
        let encrypted_len = self.encrypted_len(located).ok_or(OpenError::Malformed)?;
        let block = match transform {
            Transform::CbcHmac(cipher, _) => cipher.block_len(),
            Transform::NullHmac(_) | Transform::Aead(_) => 1,
        };
        if encrypted_len < esp::TRAILER_LEN || encrypted_len.checked_rem(block) != Some(0) {
            return Err(OpenError::Malformed);
        }
        if self.association.mode == Mode::Transport && located.header.is_none() {
            let header_len = ip::NewHeader::len_for(&located.outer.local);
            packet
                .need(header_len.saturating_sub(self.payload_at(located)), 0)
                .map_err(OpenError::NoRoom)?;
        }
        Ok(())
    }

    fn encrypted_len(&self, located: &Located) -> Option<usize> {
        let transform = self.association.transform;
        let around = sum([esp::HEADER_LEN, transform.iv_len(), transform.icv_len()]);
        located.esp.len().checked_sub(around)
    }

    /// Where the payload begins in the packet.
    fn payload_at(&self, located: &Located) -> usize {
        sum([located.esp.start, esp::HEADER_LEN, self.association.transform.iv_len()])
    }

    /// The packet is authentic and decrypted: the window moves, it is counted, and what it carries is brought out.
    fn accept(
        &mut self,
        packet: &mut PacketBuf<'_>,
        located: &Located,
        sequence: SequenceNumber,
    ) -> Result<Concluded, OpenError> {
        let encrypted_len = self.encrypted_len(located).ok_or(OpenError::Malformed)?;
        let lifetime = self.association.lifetime;
        if !self.counters.allows(lifetime.hard, encrypted_len as u64) {
            self.raised.hard = true;
            self.keys = Place::EMPTY;
            return Err(OpenError::Expired);
        }
        let advanced = self.window.accept(sequence);
        self.counters.count(encrypted_len as u64);
        self.raised.soft |= self.counters.reached(lifetime.soft);

        let payload_at = self.payload_at(located);
        let plaintext = packet
            .packet()
            .get(payload_at..)
            .and_then(|rest| rest.get(..encrypted_len))
            .unwrap_or_default();
        let (payload_len, next_header) = esp::parse_trailer(plaintext).ok_or(OpenError::Inner)?;
        if next_header == esp::NO_NEXT_HEADER {
            return Err(OpenError::Dummy);
        }
        let ip = match self.association.mode {
            Mode::Tunnel => {
                packet.cut(payload_at, payload_len);
                bring_out_tunnelled(packet, next_header, located.outer.traffic_class, self.ecn)?
            }
            Mode::Transport => transport::restore(
                packet,
                located.header,
                payload_at,
                payload_len,
                next_header,
                &located.outer,
            )?,
        };
        Ok(Concluded { sequence, advanced, ip })
    }
}

/// Checks the inner packet against what the trailer and its own header say, drops the filling behind it, and merges
/// the outer congestion mark into it.
fn bring_out_tunnelled(
    packet: &mut PacketBuf<'_>,
    next_header: u8,
    outer_class: u8,
    ecn: Ecn,
) -> Result<Ip, OpenError> {
    let inner = Ip::parse(packet.packet()).map_err(|_| OpenError::Inner)?;
    let expected = if inner.v4 { ip::IPV4 } else { ip::IPV6 };
    if next_header != expected {
        return Err(OpenError::Inner);
    }
    let ecn = ecn.decapsulate(inner.traffic_class, outer_class).ok_or(OpenError::Congestion)?;
    if ecn != inner.traffic_class & 3 {
        ip::set_ecn(packet.packet_mut(), ecn);
    }
    packet.cut(0, inner.total_len);
    Ok(inner)
}

impl fmt::Debug for InboundSa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InboundSa")
            .field("association", &self.association)
            .field("counters", &self.counters)
            .finish_non_exhaustive()
    }
}
