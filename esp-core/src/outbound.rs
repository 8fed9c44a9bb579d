//! One outbound SA: sealing packets (RFC 4303 §3.3).
//!
//! ```text
//! tunnel:     | outer IP | UDP? | ESP | IV | inner IP | ...          | trailer | ICV |
//! transport:  | IP       | UDP? | ESP | IV | TCP, UDP, ICMP ...      | trailer | ICV |
//! ```
//!
//! Everything is checked before anything is written: a refused packet is as it was, and costs no sequence number.

use core::fmt;

use rand_core::CryptoRng;

use crate::batch::{BATCH, Jobs};
use crate::packet::{NoRoom, PacketBuf};
use crate::sa::Raised;
use crate::sequence::{NoNumber, SequenceCounter, SequenceNumber};
use crate::slots::Place;
use crate::transform::{HighBits, Job, SealKeys};
use crate::tunnel::{Outer, TunnelOptions};
use crate::wire::ip::{self, Fragment, Ip, NewHeader};
use crate::wire::{checksum, esp, udp};
use crate::{Association, Counters, Encap, Mode, SaError, SaParams, Spi, Transform};

/// What a sealed packet looks like in the buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// A whole IP packet, UDP header included where there is one: for stacks that send IP packets.
    Ip,
    /// ESP alone, from the SPI on: for hosts that give it to a UDP socket (or to a raw socket of IP protocol 50),
    /// whose addresses the verdict tells.
    Esp,
}

/// An SA for what goes out.
pub struct OutboundSa {
    pub(crate) association: Association,
    keys: Place<SealKeys>,
    /// Where the counter starts whose encryptions are the IVs of CBC. As secret as the key.
    iv_base: u128,
    sequence: SequenceCounter,
    counters: Counters,
    pub(crate) raised: Raised,
    pub(crate) options: TunnelOptions,
    framing: Framing,
}

/// A packet was sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// Whom to send it to, and what the outer header carries or should carry.
    pub outer: Outer,
    /// Its sequence number.
    pub sequence: SequenceNumber,
}

/// Why a packet is not sealed. It is untouched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SealError {
    /// It is no IP packet.
    Malformed,
    /// Transport mode protects whole packets, not fragments (RFC 4303 §3.3.4).
    Fragment,
    /// Transport mode is for packets between the two ends of the SA.
    NotBetweenTheEnds,
    /// It would become larger than the path allows, and must not be fragmented.
    TooBig {
        /// The largest packet that fits, in bytes.
        mtu: u16,
    },
    /// It would become larger than an IP packet can be.
    TooLong,
    /// There is too little room around it.
    NoRoom(NoRoom),
    /// All numbers that its last export reserved are used up: it must be exported again.
    ReservationSpent,
    /// The SA has reached a hard limit, or its last sequence number; its keys are gone.
    Expired,
}

impl fmt::Display for SealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str("not an IP packet"),
            Self::Fragment => f.write_str("transport mode does not protect fragments"),
            Self::NotBetweenTheEnds => {
                f.write_str("not between the two ends of the transport mode SA")
            }
            Self::TooBig { mtu } => write!(f, "larger than the {mtu} bytes that fit the path"),
            Self::TooLong => f.write_str("larger than an IP packet can be"),
            Self::NoRoom(room) => room.fmt(f),
            Self::ReservationSpent => f.write_str("the SA must be exported again"),
            Self::Expired => f.write_str("the SA has expired"),
        }
    }
}

impl core::error::Error for SealError {}

impl From<NoRoom> for SealError {
    fn from(room: NoRoom) -> Self {
        Self::NoRoom(room)
    }
}

/// Where everything goes, found before anything is written. Lengths in bytes.
struct Layout {
    /// How much of the buffer is the packet, by its own header.
    total_len: usize,
    /// The headers in front of ESP in the result: a new one in tunnel mode, the packet's own in transport mode, none
    /// where the host writes them.
    header_len: usize,
    /// 8, where there is a UDP header to write.
    udp_len: usize,
    /// Where in the packet the part begins that is protected.
    payload_at: usize,
    payload_len: usize,
    /// Filling between payload and padding (RFC 4303 §2.7).
    fill_len: usize,
    padding_len: usize,
    next_header: u8,
    traffic_class: u8,
    dont_fragment: bool,
}

/// What every path of IPv6 takes, in bytes (RFC 8200 §5).
const V6_MINIMUM: u16 = 1280;

/// A packet laid out and not yet encrypted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Prepared {
    /// Where in the packet the SPI is.
    pub(crate) esp_at: usize,
    sequence: SequenceNumber,
    esn: bool,
    traffic_class: u8,
    dont_fragment: bool,
}

impl Prepared {
    /// No packet: to be filled in. What is said of a packet is written once, where it stays.
    pub(crate) const NONE: Self = Self {
        esp_at: 0,
        sequence: SequenceNumber(0),
        esn: false,
        traffic_class: 0,
        dont_fragment: false,
    };

    /// What of the sequence number is authenticated and not sent.
    fn high(&self) -> HighBits {
        self.esn.then(|| self.sequence.high().to_be_bytes())
    }

    /// The rest of the work, for a batch in which the packet is `at`.
    pub(crate) fn job(&self, at: usize, sa: usize, packet: &PacketBuf<'_>) -> Job {
        let esp_len = packet.len().saturating_sub(self.esp_at);
        Job { packet: at, sa, esp_at: self.esp_at, esp_len, high: self.high() }
    }
}

impl OutboundSa {
    /// An SA that builds tunnel headers by the defaults and whole IP packets. `rng` gives the start of the IVs.
    ///
    /// # Errors
    /// If `params` makes no sense.
    pub fn new(params: SaParams, rng: &mut dyn CryptoRng) -> Result<Self, SaError> {
        params.check()?;
        let mut base = [0; 16];
        rng.fill_bytes(&mut base);
        Ok(Self {
            association: Association::from(&params),
            keys: Place::Used(SealKeys::new(params.transform, params.keys.as_slice())?),
            iv_base: u128::from_be_bytes(base),
            sequence: SequenceCounter::new(params.esn),
            counters: Counters::default(),
            raised: Raised::default(),
            options: TunnelOptions::DEFAULT,
            framing: Framing::Ip,
        })
    }

    /// The same, building outer headers by `options` and packets as `framing` says.
    #[must_use]
    pub fn with(mut self, options: TunnelOptions, framing: Framing) -> Self {
        self.options = options;
        self.framing = framing;
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

    /// The largest outer packet in bytes, 0 for no limit: the entry's, or what [`crate::Processor::set_mtu`] made of it.
    #[must_use]
    pub const fn mtu(&self) -> u16 {
        self.options.mtu
    }

    /// As after `last` packets.
    #[cfg(test)]
    pub(crate) fn set_last_sequence(&mut self, last: u64) {
        self.sequence.set_last(last);
    }

    /// The last sequence number used; 0 before the first packet.
    #[must_use]
    pub const fn last_sequence(&self) -> SequenceNumber {
        SequenceNumber(self.sequence.last())
    }

    /// Protects an IP packet in place: adds headers, encrypts, authenticates.
    ///
    /// # Errors
    /// The packet is untouched then, and no sequence number is used up.
    pub fn seal(&mut self, packet: &mut PacketBuf<'_>) -> Result<Sealed, SealError> {
        let mut prepared = Prepared::NONE;
        match self.prepare(packet, &mut prepared) {
            Ok(()) => {
                self.finish(packet, &prepared);
                Ok(self.sealed(&prepared))
            }
            Err(error) => {
                self.wipe_if_ended();
                Err(error)
            }
        }
    }

    /// Makes a dummy packet of what is in `packet`, any bytes: it looks like any other packet of the SA, filled up to the same
    /// length and under the same outer header but for what that copies from inner ones, and its
    /// receiver drops it (RFC 4303 §2.6). When to send some is the host's to decide.
    ///
    /// # Errors
    /// As for [`Self::seal`].
    pub fn seal_dummy(&mut self, packet: &mut PacketBuf<'_>) -> Result<Sealed, SealError> {
        if self.raised.hard {
            return Err(SealError::Expired);
        }
        let layout = self.lay_out_dummy(packet.len())?;
        let mut prepared = Prepared::NONE;
        match self.put_together(packet, None, &layout, &mut prepared) {
            Ok(()) => {
                self.finish(packet, &prepared);
                Ok(self.sealed(&prepared))
            }
            Err(error) => {
                self.wipe_if_ended();
                Err(error)
            }
        }
    }

    fn lay_out_dummy(&self, payload_len: usize) -> Result<Layout, SealError> {
        let Association { mode, ref local, encap, transform, .. } = self.association;
        let header_len = NewHeader::len_for(local);
        let udp_len = udp_len(encap);
        let fixed = sum([header_len, udp_len, transform.overhead()]);
        let fill_len = self.fill_len(payload_len, fixed);
        let padding_len = transform.padding_len(payload_len.saturating_add(fill_len));
        if sum([fixed, payload_len, fill_len, padding_len]) > self.limit().min(u16::MAX.into()) {
            return Err(SealError::TooLong);
        }
        let whole = self.framing == Framing::Ip;
        let tunnel = mode == Mode::Tunnel;
        Ok(Layout {
            total_len: payload_len,
            header_len: if whole { header_len } else { 0 },
            udp_len: if whole { udp_len } else { 0 },
            payload_at: 0,
            payload_len,
            fill_len,
            padding_len,
            next_header: esp::NO_NEXT_HEADER,
            traffic_class: if tunnel { self.options.traffic_class(None) } else { 0 },
            dont_fragment: tunnel && self.options.dont_fragment(None),
        })
    }

    /// Protects several packets, which is quicker than one by one: the result is the same. Packets
    /// for which there is no place in `results` are left alone.
    pub fn seal_batch(
        &mut self,
        packets: &mut [PacketBuf<'_>],
        results: &mut [Result<Sealed, SealError>],
    ) {
        for (packets, results) in packets.chunks_mut(BATCH).zip(results.chunks_mut(BATCH)) {
            let mut jobs = Jobs::new();
            for (at, (packet, result)) in packets.iter_mut().zip(results).enumerate() {
                let mut prepared = Prepared::NONE;
                *result = self.prepare(packet, &mut prepared).map(|()| {
                    jobs.push(prepared.job(at, 0, packet));
                    self.sealed(&prepared)
                });
            }
            self.finish_batch(packets, jobs.sorted());
            self.wipe_if_ended();
        }
    }

    /// Checks, and lays the packet out: everything but the cryptography. Where the SA ends with this
    /// packet the keys stay: packets prepared before need them.
    pub(crate) fn prepare(
        &mut self,
        packet: &mut PacketBuf<'_>,
        prepared: &mut Prepared,
    ) -> Result<(), SealError> {
        let ip = Ip::parse(packet.packet()).map_err(|_| SealError::Malformed)?;
        self.prepare_parsed(packet, &ip, prepared)
    }

    /// The same for a packet whose headers have been read.
    pub(crate) fn prepare_parsed(
        &mut self,
        packet: &mut PacketBuf<'_>,
        ip: &Ip,
        prepared: &mut Prepared,
    ) -> Result<(), SealError> {
        if self.raised.hard {
            return Err(SealError::Expired);
        }
        let layout = self.lay_out(packet.packet(), ip)?;
        self.put_together(packet, Some(ip), &layout, prepared)
    }

    /// Makes room, counts, and writes everything around the payload. `inner` is the packet's own header, which a
    /// dummy has not.
    #[inline(always)]
    fn put_together(
        &mut self,
        packet: &mut PacketBuf<'_>,
        inner: Option<&Ip>,
        layout: &Layout,
        prepared: &mut Prepared,
    ) -> Result<(), SealError> {
        // Link padding behind the packet is room.
        packet.cut(0, layout.total_len);
        let transform = self.association.transform;
        let before = sum([layout.header_len, layout.udp_len, esp::HEADER_LEN, transform.iv_len()]);
        let front = before.saturating_sub(layout.payload_at);
        let back =
            sum([layout.fill_len, layout.padding_len, esp::TRAILER_LEN, transform.icv_len()]);
        packet.need(front, back)?;
        let sequence = self.spend(layout)?;
        packet.grow(front, back)?;
        packet.cut(layout.payload_at.saturating_sub(before), packet.len());
        self.write(packet.packet_mut(), inner, layout, sequence);
        prepared.esp_at = layout.header_len.saturating_add(layout.udp_len);
        prepared.sequence = sequence;
        prepared.esn = self.association.esn;
        prepared.traffic_class = layout.traffic_class;
        prepared.dont_fragment = layout.dont_fragment;
        Ok(())
    }

    fn sealed(&self, prepared: &Prepared) -> Sealed {
        Sealed { outer: self.outer(prepared), sequence: prepared.sequence }
    }

    /// Whom a packet goes to.
    pub(crate) fn outer(&self, prepared: &Prepared) -> Outer {
        Outer {
            local: self.association.local,
            remote: self.association.remote,
            encap: self.association.encap,
            traffic_class: prepared.traffic_class,
            dont_fragment: prepared.dont_fragment,
        }
    }

    /// The cryptography of several packets, sorted by length.
    pub(crate) fn finish_batch(&self, packets: &mut [PacketBuf<'_>], jobs: &[Job]) {
        self.keys.seal_batch(self.association.transform, packets, jobs);
        if self.sums_udp() {
            for job in jobs {
                if let Some(packet) = packets.get_mut(job.packet) {
                    self.sum_udp(packet.packet_mut(), job.esp_at);
                }
            }
        }
    }

    /// The cryptography.
    pub(crate) fn finish(&self, packet: &mut PacketBuf<'_>, prepared: &Prepared) {
        let esp = packet.packet_mut().get_mut(prepared.esp_at..).unwrap_or_default();
        self.keys.seal(self.association.transform, esp, prepared.high());
        if self.sums_udp() {
            self.sum_udp(packet.packet_mut(), prepared.esp_at);
        }
    }

    /// Whether our UDP headers have a checksum. Over IPv6 they must: receivers drop datagrams without
    /// (RFC 8200 §8.1), and the exception of RFC 6935 is for those who agreed on it.
    fn sums_udp(&self) -> bool {
        let Association { local, encap, .. } = self.association;
        self.framing == Framing::Ip && local.is_ipv6() && matches!(encap, Encap::Udp { .. })
    }

    fn sum_udp(&self, packet: &mut [u8], esp_at: usize) {
        let Association { local, remote, .. } = self.association;
        let datagram = packet.get_mut(esp_at.saturating_sub(udp::HEADER_LEN)..).unwrap_or_default();
        checksum::write(datagram, udp::CHECKSUM_AT, local, remote, udp::PROTOCOL);
    }

    #[inline(always)]
    fn lay_out(&self, packet: &[u8], ip: &Ip) -> Result<Layout, SealError> {
        let Association { mode, ref local, ref remote, encap, transform, .. } = self.association;
        let (payload_at, next_header, real_header_len, traffic_class, dont_fragment) = match mode {
            Mode::Tunnel => {
                let protocol = if ip.v4 { ip::IPV4 } else { ip::IPV6 };
                let class = self.options.traffic_class(Some(ip));
                let dont_fragment = self.options.dont_fragment(Some(ip));
                (0, protocol, NewHeader::len_for(local), class, dont_fragment)
            }
            Mode::Transport => {
                if ip.fragment != Fragment::Whole {
                    return Err(SealError::Fragment);
                }
                if (&ip.source(), &ip.destination()) != (local, remote) {
                    return Err(SealError::NotBetweenTheEnds);
                }
                let protocol =
                    packet.get(ip.esp_protocol_at).copied().ok_or(SealError::Malformed)?;
                (ip.esp_at, protocol, ip.esp_at, ip.traffic_class, ip.dont_fragment)
            }
        };
        let real_udp_len = udp_len(encap);
        let payload_len = ip.total_len.saturating_sub(payload_at);
        let fixed = sum([real_header_len, real_udp_len, transform.overhead()]);
        let fill_len = self.fill_len(payload_len, fixed);
        let padding_len = transform.padding_len(payload_len.saturating_add(fill_len));
        let total = sum([fixed, payload_len, fill_len, padding_len]);
        if total > self.limit() && !self.may_be_fragmented(ip, dont_fragment) {
            let mtu = self.inner_mtu(fixed, payload_at);
            // A sender of IPv6 takes no word of less (RFC 8201 §4), and its packets of that size pass.
            return Err(SealError::TooBig { mtu: if ip.v4 { mtu } else { mtu.max(V6_MINIMUM) } });
        }
        if total > usize::from(u16::MAX) {
            return Err(SealError::TooLong);
        }
        let (header_len, udp_len) = match self.framing {
            Framing::Ip => (real_header_len, real_udp_len),
            Framing::Esp => (0, 0),
        };
        Ok(Layout {
            total_len: ip.total_len,
            header_len,
            udp_len,
            payload_at,
            payload_len,
            fill_len,
            padding_len,
            next_header,
            traffic_class,
            dont_fragment,
        })
    }

    /// The largest outer packet.
    fn limit(&self) -> usize {
        if self.options.mtu == 0 { usize::MAX } else { self.options.mtu.into() }
    }

    /// Whether an outer packet beyond the path's size may go out and be fragmented, instead of being refused
    /// (RFC 4301 §8.2). Senders of IPv6 need not go below 1280 bytes: those are never refused.
    const fn may_be_fragmented(&self, inner: &Ip, outer_dont_fragment: bool) -> bool {
        if !inner.v4 {
            inner.total_len <= V6_MINIMUM as usize
        } else {
            !inner.dont_fragment && (!outer_dont_fragment || self.association.local.is_ipv6())
        }
    }

    /// The largest inner packet that fits, `fixed` bytes being needed whatever its length. In transport mode
    /// `kept` bytes of it stay in front.
    fn inner_mtu(&self, fixed: usize, kept: usize) -> u16 {
        let transform = self.association.transform;
        let room = self
            .limit()
            .min(u16::MAX.into())
            .saturating_sub(fixed.saturating_sub(esp::TRAILER_LEN));
        let whole = room & !transform.alignment().wrapping_sub(1);
        let inner = whole.saturating_sub(esp::TRAILER_LEN).saturating_add(kept);
        u16::try_from(inner).unwrap_or(u16::MAX)
    }

    /// Filling up to the length that packets are to look like, as far as the path allows. Only in tunnel mode: the
    /// inner header tells the receiver where the packet ends.
    fn fill_len(&self, payload_len: usize, fixed: usize) -> usize {
        if self.association.mode != Mode::Tunnel {
            return 0;
        }
        let most = usize::from(self.inner_mtu(fixed, 0));
        usize::from(self.options.pad_to).min(most).saturating_sub(payload_len)
    }

    /// Counts the packet and takes its sequence number; at the end of either the SA ends.
    fn spend(&mut self, layout: &Layout) -> Result<SequenceNumber, SealError> {
        let lifetime = self.association.lifetime;
        let parts = [layout.payload_len, layout.fill_len, layout.padding_len, esp::TRAILER_LEN];
        let bytes = sum(parts) as u64;
        if !self.counters.allows(lifetime.hard, bytes) {
            self.raised.hard = true;
            return Err(SealError::Expired);
        }
        let sequence = match self.sequence.take() {
            Ok(sequence) => sequence,
            Err(NoNumber::ReservationSpent) => return Err(SealError::ReservationSpent),
            Err(NoNumber::Spent) => {
                self.raised.hard = true;
                return Err(SealError::Expired);
            }
        };
        self.counters.count(bytes);
        self.raised.soft |= self.counters.reached(lifetime.soft);
        self.raised.sequence_low |= self.sequence.is_low();
        self.raised.reservation_low |= self.sequence.is_reservation_low();
        Ok(sequence)
    }

    /// See [`SequenceCounter::reserve`].
    pub(crate) fn reserve(&mut self, reserve: u64) -> u64 {
        self.raised.reservation_low = false;
        self.sequence.reserve(reserve)
    }

    /// Goes on behind `last`, having carried `counters`; whether that can be.
    pub(crate) fn restore(&mut self, last: u64, counters: Counters) -> bool {
        self.counters = counters;
        self.sequence.resume(last)
    }

    /// Wipes the keys of an SA that has ended. No packet may be prepared and not finished.
    pub(crate) fn wipe_if_ended(&mut self) {
        if self.raised.hard {
            self.keys = Place::EMPTY;
            self.iv_base = 0;
        }
    }

    /// Writes headers, counter and trailer around the payload, which is in its place.
    fn write(
        &self,
        packet: &mut [u8],
        inner: Option<&Ip>,
        layout: &Layout,
        sequence: SequenceNumber,
    ) {
        let Association { transform, encap, ref local, ref remote, .. } = self.association;
        let protocol = match encap {
            Encap::None => esp::PROTOCOL,
            Encap::Udp { .. } => udp::PROTOCOL,
        };
        if layout.header_len > 0 {
            match (self.association.mode, inner) {
                (Mode::Tunnel, _) | (_, None) => {
                    let [.., id0, id1] = sequence.low().to_be_bytes();
                    let header = NewHeader {
                        source: local,
                        destination: remote,
                        traffic_class: layout.traffic_class,
                        dont_fragment: layout.dont_fragment,
                        identification: u16::from_be_bytes([id0, id1]),
                        flow_label: self.options.flow_label(inner),
                        ttl: self.options.ttl(),
                        protocol,
                    };
                    header.emit(packet);
                }
                (Mode::Transport, Some(ip)) => {
                    // The packet's own headers move to the new front.
                    let grown = sum([layout.udp_len, esp::HEADER_LEN, transform.iv_len()]);
                    let end = grown.saturating_add(layout.header_len);
                    if end <= packet.len() {
                        packet.copy_within(grown..end, 0);
                    }
                    ip::rewrite(packet, ip.esp_protocol_at, protocol);
                }
            }
        }
        let behind_ip = packet.get_mut(layout.header_len..).unwrap_or_default();
        let datagram_len = behind_ip.len();
        let Some((udp_header, esp)) = behind_ip.split_at_mut_checked(layout.udp_len) else {
            return;
        };
        if let Encap::Udp { local_port, remote_port } = encap {
            let len = u16::try_from(datagram_len).unwrap_or(u16::MAX);
            udp::emit(udp_header, local_port, remote_port, len);
        }
        esp::emit_header(esp, self.association.spi, sequence.low());
        self.write_counter(esp.get_mut(esp::HEADER_LEN..).unwrap_or_default(), sequence);
        let payload_end = sum([esp::HEADER_LEN, transform.iv_len(), layout.payload_len]);
        let trailer_at = payload_end.saturating_add(layout.fill_len);
        let trailer_end = sum([trailer_at, layout.padding_len, esp::TRAILER_LEN]);
        esp.get_mut(payload_end..trailer_at).unwrap_or_default().fill(0);
        esp::emit_trailer(
            esp.get_mut(trailer_at..trailer_end).unwrap_or_default(),
            layout.next_header,
        );
    }

    /// Writes what the packet's IV is made of: the next value of the SA's own counter. The sequence number never
    /// repeats under a key, so neither does this.
    fn write_counter(&self, field: &mut [u8], sequence: SequenceNumber) {
        match self.association.transform {
            Transform::CbcHmac(cipher, _) => {
                let counter = self.iv_base.wrapping_add(sequence.0.into()).to_be_bytes();
                // The low bytes are those that count.
                let (_, low) = counter.split_at(counter.len().saturating_sub(cipher.block_len()));
                for (to, from) in field.iter_mut().zip(low) {
                    *to = *from;
                }
            }
            Transform::NullHmac(_) => {}
            Transform::Aead(_) => {
                for (to, from) in field.iter_mut().zip(sequence.0.to_be_bytes()) {
                    *to = from;
                }
            }
        }
    }
}

impl fmt::Debug for OutboundSa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutboundSa")
            .field("association", &self.association)
            .field("counters", &self.counters)
            .finish_non_exhaustive()
    }
}

const fn udp_len(encap: Encap) -> usize {
    match encap {
        Encap::None => 0,
        Encap::Udp { .. } => udp::HEADER_LEN,
    }
}

/// Lengths of parts of a packet, none of which comes near the end of `usize`.
pub(crate) fn sum<const N: usize>(lengths: [usize; N]) -> usize {
    lengths.into_iter().fold(0, usize::saturating_add)
}
