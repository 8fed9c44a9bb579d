//! Packets that come in: SA, open, policy again (RFC 4301 §5.2).

use super::verdict::{Accepted, Discard, Inbound, increase};
use super::{Direction, Processor};
use crate::PolicyId;
use crate::batch::{BATCH, Jobs, by_sa};
use crate::inbound::{Arrival, Concluded, Incoming, Located, OpenError, locate};
use crate::packet::PacketBuf;
use crate::selector::{Flow, Match};
use crate::spd::Policy;
use crate::transform::Verified;
use crate::wire::ip::Ip;

impl Processor<'_> {
    /// An incoming packet, forwarded or for the device itself. ESP is taken as the device's own whoever it is addressed
    /// to: a router forwards that of others without asking.
    pub fn inbound(&mut self, packet: &mut PacketBuf<'_>, arrival: Arrival) -> Inbound {
        // What was found stays where it is, and the verdict is made where it goes: both are large, and
        // moving them would cost as much as all other book-keeping.
        let incoming = locate(packet.packet(), &arrival, Some(self.settings.encap_port));
        match &incoming {
            Ok(Incoming::Esp(located)) => match self.accept(packet, located) {
                Ok(accepted) => {
                    increase(&mut self.stats.delivered);
                    accepted.deliver(located)
                }
                Err(reason) => self.discarded(reason),
            },
            Ok(Incoming::Clear(ip)) => self.judge_clear(packet.packet(), ip),
            Err(error) => self.discarded((*error).into()),
        }
    }

    /// Incoming packets, of any SAs and lengths. The verdicts are those that [`Self::inbound`] would
    /// give one after the other, and come quicker. Packets for which there is no arrival or no place
    /// in `verdicts` are left alone.
    pub fn inbound_batch(
        &mut self,
        packets: &mut [PacketBuf<'_>],
        arrivals: &[Arrival],
        verdicts: &mut [Inbound],
    ) {
        let arrivals = arrivals.chunks(BATCH);
        for ((packets, arrivals), verdicts) in
            packets.chunks_mut(BATCH).zip(arrivals).zip(verdicts.chunks_mut(BATCH))
        {
            let mut jobs = Jobs::new();
            let mut admitted = [const { None }; BATCH];
            let each = packets.iter().zip(arrivals).zip(verdicts.iter_mut()).zip(&mut admitted);
            for (at, (((packet, arrival), verdict), admitted)) in each.enumerate() {
                let port = Some(self.settings.encap_port);
                let located = match locate(packet.packet(), arrival, port) {
                    Ok(Incoming::Esp(located)) => located,
                    Ok(Incoming::Clear(ip)) => {
                        *verdict = self.judge_clear(packet.packet(), &ip);
                        continue;
                    }
                    Err(error) => {
                        *verdict = self.discarded(error.into());
                        continue;
                    }
                };
                match self.admit(packet, &located) {
                    Ok(slot) => {
                        let sa = self.sad.inbound(slot);
                        if let Some(job) = sa.and_then(|sa| sa.job(at, slot, &located)) {
                            jobs.push(job);
                        }
                        *admitted = Some((slot, located));
                    }
                    Err(reason) => *verdict = self.discarded(reason),
                }
            }
            let mut verified = [Verified::NotYet; BATCH];
            for (slot, jobs) in by_sa(jobs.sorted()) {
                if let Some(sa) = self.sad.inbound(slot) {
                    sa.verify_batch(packets, jobs, &mut verified);
                }
            }
            let each = packets.iter_mut().zip(verdicts).zip(&admitted).zip(verified);
            for (((packet, verdict), admitted), verified) in each {
                let Some((slot, located)) = admitted else { continue };
                let Some(sa) = self.sad.inbound_mut(*slot) else { continue };
                let opened = sa.conclude(packet, located, verified);
                *verdict = match self.judge_opened(*slot, packet.packet(), &opened) {
                    Ok(accepted) => {
                        increase(&mut self.stats.delivered);
                        accepted.deliver(located)
                    }
                    Err(reason) => self.discarded(reason),
                };
            }
        }
    }

    fn accept(
        &mut self,
        packet: &mut PacketBuf<'_>,
        located: &Located,
    ) -> Result<Accepted, Discard> {
        let slot = self.admit(packet, located)?;
        let sa = self.sad.inbound_mut(slot).ok_or(Discard::UnknownSpi)?;
        let opened = sa.conclude(packet, located, Verified::NotYet);
        self.judge_opened(slot, packet.packet(), &opened)
    }

    /// Everything up to the window and the cryptography: the slot of the SA.
    fn admit(&self, packet: &PacketBuf<'_>, located: &Located) -> Result<usize, Discard> {
        let slot = self.sad.inbound_slot(located.spi).ok_or(Discard::UnknownSpi)?;
        let sa = self.sad.inbound(slot).ok_or(Discard::UnknownSpi)?;
        sa.admit(packet, located)?;
        Ok(slot)
    }

    fn judge_opened(
        &mut self,
        slot: usize,
        packet: &[u8],
        opened: &Result<Concluded, OpenError>,
    ) -> Result<Accepted, Discard> {
        self.sad.note_inbound(slot);
        let Concluded { advanced, ip, .. } = match opened {
            Ok(opened) => opened,
            Err(error) => return Err((*error).into()),
        };
        let sa = self.sad.inbound(slot).ok_or(Discard::UnknownSpi)?;
        let (owner, policy) = (sa.owner(), sa.association.policy);
        // RFC 4301 §5.2, step 4: what comes out must be what the SA is for. It must also be what the
        // list, which may have changed since, protects by this SA's entry: no peer may speak for the
        // networks of another.
        let selectors = &sa.association.selectors;
        let mut flow = Flow::inbound(ip, packet);
        if selectors.matches(&flow) != Match::Yes {
            // RFC 4301 §6.2: or an ICMP error, from anywhere, about a packet whose answers the SA is for.
            flow = Flow::inbound_return(ip, packet)
                .filter(|answers| selectors.matches(answers) == Match::Yes)
                .ok_or(Discard::Selectors)?;
        }
        let (line, _) = self.line_for(Direction::Inbound, &flow)?;
        if !self.protects(line, policy) {
            return Err(Discard::Selectors);
        }
        Ok(Accepted { owner, policy, advanced: *advanced })
    }

    fn protects(&self, line: u32, policy: PolicyId) -> bool {
        self.spd
            .entry(line)
            .is_some_and(|entry| entry.id == policy && matches!(entry.policy, Policy::Protect(_)))
    }

    fn judge_clear(&mut self, packet: &[u8], ip: &Ip) -> Inbound {
        let flow = Flow::inbound(ip, packet);
        let line = match self.line_for(Direction::Inbound, &flow) {
            Ok((line, _)) => line,
            Err(reason) => return self.discarded(reason),
        };
        match self.spd.entry(line).map(|entry| entry.policy) {
            Some(Policy::Bypass) => {
                increase(&mut self.stats.bypassed);
                Inbound::Bypass
            }
            Some(Policy::Protect(_)) => self.discarded(Discard::Unprotected),
            Some(Policy::Discard) => self.discarded(Discard::Policy),
            None => self.discarded(Discard::NoPolicy),
        }
    }

    fn discarded(&mut self, reason: Discard) -> Inbound {
        self.stats.count_discard(reason);
        Inbound::Discard(reason)
    }
}
