//! Packets that go out: policy, SA, seal (RFC 4301 §5.1).

use super::verdict::{Discard, Kept, Outbound, increase};
use super::{Direction, Processor};
use crate::PolicyId;
use crate::batch::{BATCH, Jobs, by_sa};
use crate::outbound::{Prepared, SealError};
use crate::packet::PacketBuf;
use crate::selector::Flow;
use crate::spd::Policy;
use crate::wire::ip::Ip;

impl Processor<'_> {
    /// An outgoing IP packet, forwarded or the device's own.
    pub fn outbound(&mut self, packet: &mut PacketBuf<'_>) -> Outbound {
        let mut prepared = Prepared::NONE;
        match self.prepare_outbound(packet, None, &mut prepared) {
            Ok(slot) => {
                if let Some(sa) = self.sad.outbound(slot) {
                    sa.finish(packet, &prepared);
                }
                self.sad.note_outbound(slot);
                self.sent(slot, &prepared)
            }
            Err(kept) => self.kept(kept),
        }
    }

    /// Outgoing IP packets, of any SAs and lengths. The verdicts are those that [`Self::outbound`]
    /// would give one after the other, and come quicker. Packets for which there is no place in
    /// `verdicts` are left alone.
    pub fn outbound_batch(&mut self, packets: &mut [PacketBuf<'_>], verdicts: &mut [Outbound]) {
        for (packets, verdicts) in packets.chunks_mut(BATCH).zip(verdicts.chunks_mut(BATCH)) {
            let mut jobs = Jobs::new();
            for (at, (packet, verdict)) in packets.iter_mut().zip(verdicts).enumerate() {
                let mut prepared = Prepared::NONE;
                *verdict = match self.prepare_outbound(packet, Some(&jobs), &mut prepared) {
                    Ok(slot) => {
                        jobs.push(prepared.job(at, slot, packet));
                        self.sent(slot, &prepared)
                    }
                    Err(kept) => self.kept(kept),
                };
            }
            for (slot, jobs) in by_sa(jobs.sorted()) {
                if let Some(sa) = self.sad.outbound_mut(slot) {
                    sa.finish_batch(packets, jobs);
                    sa.wipe_if_ended();
                }
                self.sad.note_outbound(slot);
            }
        }
    }

    /// A dummy packet of `owner`'s outbound SA, made of what is in `packet` (RFC 4303 §2.6); `None` if the owner has no
    /// such SA. Looks at every slot.
    pub fn dummy(&mut self, owner: u64, packet: &mut PacketBuf<'_>) -> Option<Outbound> {
        let slot = self.sad.outbound_of(owner)?;
        let sealed = self.sad.outbound_mut(slot)?.seal_dummy(packet);
        self.sad.note_outbound(slot);
        let verdict = match sealed {
            Ok(sealed) => Outbound::Send { outer: sealed.outer, owner },
            Err(error) => Outbound::Discard(error.into()),
        };
        self.stats.count_outbound(&verdict);
        Some(verdict)
    }

    /// Everything up to the cryptography: the slot of the SA and the packet laid out, or the
    /// verdict. `jobs` are the packets laid out before and not finished.
    fn prepare_outbound(
        &mut self,
        packet: &mut PacketBuf<'_>,
        jobs: Option<&Jobs>,
        prepared: &mut Prepared,
    ) -> Result<usize, Kept> {
        // By reference: what was parsed is not worth a copy.
        let parsed = Ip::parse(packet.packet());
        let Ok(ip) = &parsed else { return Err(Kept::Discard(Discard::Malformed)) };
        let mut flow = Flow::outbound(ip, packet.packet());
        let mut found = self.line_for(Direction::Outbound, &flow);
        // RFC 4301 §6.2: an ICMP error that no entry allows goes with the answers to what it is about, if they have an SA.
        let mut returned = false;
        if found == Err(Discard::NoPolicy)
            && let Some(answers) = Flow::outbound_return(ip, packet.packet())
        {
            (flow, returned) = (answers, true);
            found = self.line_for(Direction::Outbound, &flow);
        }
        let (line, mut hint) = found.map_err(Kept::Discard)?;
        let entry = self.spd.entry(line).ok_or(Kept::Discard(Discard::NoPolicy))?;
        let policy = entry.id;
        match entry.policy {
            Policy::Bypass if returned => return Err(Kept::Discard(Discard::NoPolicy)),
            Policy::Bypass => return Err(Kept::Bypass),
            Policy::Discard => return Err(Kept::Discard(Discard::Policy)),
            Policy::Protect(_) => {}
        }
        // At most two rounds: an SA that turns out to have ended is passed over the second time.
        for _ in 0..2 {
            let Some(slot) = self.outbound_slot(policy, &flow, ip.traffic_class, line, hint) else {
                break;
            };
            let Some(sa) = self.sad.outbound_mut(slot) else { break };
            match sa.prepare_parsed(packet, ip, prepared) {
                Ok(()) => return Ok(slot),
                Err(SealError::Expired) => {
                    if jobs.is_none_or(|jobs| !jobs.any_of(slot)) {
                        sa.wipe_if_ended();
                    }
                    self.sad.note_outbound(slot);
                    hint = None;
                }
                // Nobody needs to negotiate: the host exports the SA and tries again.
                Err(SealError::ReservationSpent) => return Err(Kept::Hold { policy }),
                Err(SealError::TooBig { mtu }) => return Err(Kept::TooBig { mtu }),
                Err(error) => return Err(Kept::Discard(error.into())),
            }
        }
        if returned {
            return Err(Kept::Discard(Discard::NoPolicy));
        }
        self.spd.wait(line, &flow);
        Err(Kept::Hold { policy })
    }

    /// The SA for a packet: the one its flow used last, if it still fits, or the first that does.
    fn outbound_slot(
        &mut self,
        policy: PolicyId,
        flow: &Flow,
        class: u8,
        line: u32,
        hint: Option<u32>,
    ) -> Option<usize> {
        if let Some(slot) = hint.map(|slot| slot as usize)
            && self.sad.outbound_fits(slot, policy, flow, class)
        {
            return Some(slot);
        }
        let slot = self.sad.outbound_for(policy, flow, class)?;
        self.flows.put(Direction::Outbound, flow, line, u32::try_from(slot).ok());
        Some(slot)
    }

    fn sent(&mut self, slot: usize, prepared: &Prepared) -> Outbound {
        match self.sad.outbound(slot) {
            Some(sa) => {
                increase(&mut self.stats.sent);
                Outbound::Send { outer: sa.outer(prepared), owner: sa.owner() }
            }
            None => self.kept(Kept::Discard(Discard::NoPolicy)),
        }
    }

    fn kept(&mut self, kept: Kept) -> Outbound {
        let verdict = kept.into();
        self.stats.count_outbound(&verdict);
        verdict
    }
}
