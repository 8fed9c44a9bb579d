//! The security association database (RFC 4301 §4.4.2): both directions, found in O(1), and what they have to tell.

use core::net::IpAddr;

use crate::index::{Cell, Index};
use crate::processor::{Direction, InstallError, Notice};
use crate::sa::Raised;
use crate::selector::{Flow, Match};
use crate::slots::{Slot, Slots, whole};
use crate::spd::fold;
use crate::{Association, Encap, InboundSa, Mode, OutboundSa, PolicyId, Spi, TrafficSelectors};

/// An SA and which of its notices have been told.
#[derive(Debug)]
pub(crate) struct Held<T> {
    pub(crate) sa: T,
    told: Raised,
}

whole!(Held<InboundSa>, Held<OutboundSa>);

/// Both directions' SAs.
#[derive(Debug)]
pub(crate) struct Sad<'s> {
    inbound: Slots<'s, Held<InboundSa>>,
    /// By SPI.
    inbound_index: Index<'s>,
    outbound: Slots<'s, Held<OutboundSa>>,
    /// By policy, and by the hosts that the SA is for where its selectors name just one: the newest SA, linked to the older
    /// ones.
    outbound_index: Index<'s>,
}

impl<'s> Sad<'s> {
    pub(crate) fn new(
        inbound: &'s mut [Slot<Held<InboundSa>>],
        inbound_cells: &'s mut [Cell],
        outbound: &'s mut [Slot<Held<OutboundSa>>],
        outbound_cells: &'s mut [Cell],
    ) -> Self {
        Self {
            inbound: Slots::new(inbound),
            inbound_index: Index::new(inbound_cells),
            outbound: Slots::new(outbound),
            outbound_index: Index::new(outbound_cells),
        }
    }

    /// Removes every SA; their keys are wiped.
    pub(crate) fn clear(&mut self) {
        self.inbound.clear();
        self.inbound_index.clear();
        self.outbound.clear();
        self.outbound_index.clear();
    }

    pub(crate) fn inbound_slot(&self, spi: Spi) -> Option<usize> {
        self.inbound_index.get(spi.get())
    }

    pub(crate) fn inbound(&self, slot: usize) -> Option<&InboundSa> {
        self.inbound.get(slot).map(|held| &held.sa)
    }

    pub(crate) fn inbound_mut(&mut self, slot: usize) -> Option<&mut InboundSa> {
        self.inbound.get_mut(slot).map(|held| &mut held.sa)
    }

    pub(crate) fn outbound(&self, slot: usize) -> Option<&OutboundSa> {
        self.outbound.get(slot).map(|held| &held.sa)
    }

    pub(crate) fn outbound_mut(&mut self, slot: usize) -> Option<&mut OutboundSa> {
        self.outbound.get_mut(slot).map(|held| &mut held.sa)
    }

    pub(crate) fn inbound_sas(&self) -> impl Iterator<Item = &InboundSa> {
        self.inbound.iter().map(|(_, held)| &held.sa)
    }

    pub(crate) fn outbound_sas(&self) -> impl Iterator<Item = &OutboundSa> {
        self.outbound.iter().map(|(_, held)| &held.sa)
    }

    /// The SPI of an inbound SA of `owner`. Looks at every slot.
    fn inbound_of(&self, owner: u64) -> Option<Spi> {
        self.inbound_sas().find(|sa| sa.owner() == owner).map(InboundSa::spi)
    }

    /// The slot of an outbound SA of `owner`. Looks at every slot.
    pub(crate) fn outbound_of(&self, owner: u64) -> Option<usize> {
        self.outbound.iter().find(|(_, held)| held.sa.owner() == owner).map(|(at, _)| at)
    }

    /// Whether [`Self::install_inbound`] would find room and a free SPI.
    pub(crate) fn admits_inbound(&self, spi: Spi) -> Result<(), InstallError> {
        if self.inbound_slot(spi).is_some() {
            return Err(InstallError::DuplicateSpi(spi));
        }
        if self.inbound.is_full() { Err(InstallError::Full) } else { Ok(()) }
    }

    pub(crate) fn install_inbound(&mut self, sa: InboundSa) -> Result<(), InstallError> {
        let spi = sa.spi();
        self.admits_inbound(spi)?;
        let slot =
            self.inbound.insert(Held { sa, told: Raised::default() }).ok_or(InstallError::Full)?;
        self.inbound_index.insert(spi.get(), slot);
        Ok(())
    }

    /// Puts the SA in front of the others of its policy, or in the place of the one that it succeeds. Whether a flow may
    /// have to use another slot than before: if not, what a flow cache knows is still right.
    pub(crate) fn install_outbound(&mut self, sa: OutboundSa) -> Result<bool, InstallError> {
        let key = key_of(&sa);
        let held = Held { sa, told: Raised::default() };
        if let Some(slot) = self.predecessor(&held.sa)
            && let Some(place) = self.outbound.get_mut(slot)
        {
            // Flows that had left an SA that ended come back to its successor.
            let ended = place.sa.raised.hard;
            *place = held;
            return Ok(ended);
        }
        let newest = self.outbound_index.get(key);
        let slot = self.outbound.insert(held).ok_or(InstallError::Full)?;
        self.outbound.set_link(slot, newest);
        self.outbound_index.insert(key, slot);
        Ok(true)
    }

    /// The SA that this one succeeds: same policy, selectors, DSCPs and mode. Two clients behind one NAT have transport mode
    /// SAs that differ in nothing but the port they are seen at, and do not succeed each other.
    fn predecessor(&self, sa: &OutboundSa) -> Option<usize> {
        let new = &sa.association;
        self.chain(key_of(sa)).find(|slot| {
            self.outbound(*slot).is_some_and(|old| {
                let old = &old.association;
                (old.policy, old.dscp, old.selectors) == (new.policy, new.dscp, new.selectors)
                    && old.mode == new.mode
                    && (new.mode == Mode::Tunnel
                        || (old.remote, old.encap) == (new.remote, new.encap))
            })
        })
    }

    /// The outbound SAs of a key, newest first.
    fn chain(&self, key: u32) -> impl Iterator<Item = usize> {
        let newest = self.outbound_index.get(key);
        core::iter::successors(newest, |slot| self.outbound.link(*slot))
            .take(self.outbound.capacity())
    }

    /// The outbound SA of `policy` that takes this packet and has not expired: the newest of those for its two hosts, of
    /// those for one of them, of all others.
    pub(crate) fn outbound_for(&self, policy: PolicyId, flow: &Flow, class: u8) -> Option<usize> {
        let (local, remote) = (Some(flow.local), Some(flow.remote));
        let hosts = [(local, remote), (None, remote), (local, None), (None, None)];
        hosts.into_iter().find_map(|(local, remote)| {
            self.chain(key(policy, local, remote))
                .find(|slot| self.outbound_fits(*slot, policy, flow, class))
        })
    }

    /// Whether the SA of `slot` is one of `policy` that takes this packet and has not expired.
    pub(crate) fn outbound_fits(
        &self,
        slot: usize,
        policy: PolicyId,
        flow: &Flow,
        class: u8,
    ) -> bool {
        self.outbound(slot).is_some_and(|sa| {
            let association = &sa.association;
            association.policy == policy
                && !sa.raised.hard
                && association.dscp.contains(class)
                && association.selectors.matches(flow) == Match::Yes
        })
    }

    pub(crate) fn remove_inbound(&mut self, spi: Spi) -> bool {
        let Some(slot) = self.inbound_slot(spi) else { return false };
        self.inbound_index.remove(spi.get());
        self.inbound.remove(slot)
    }

    pub(crate) fn remove_outbound(&mut self, policy: PolicyId, spi: Spi) -> bool {
        let wanted = |sa: &OutboundSa| sa.association.policy == policy && sa.spi() == spi;
        let slot = self.outbound.iter().find(|(_, held)| wanted(&held.sa)).map(|(slot, _)| slot);
        slot.is_some_and(|slot| self.remove_outbound_slot(slot))
    }

    fn remove_outbound_slot(&mut self, slot: usize) -> bool {
        let Some(key) = self.outbound(slot).map(key_of) else { return false };
        let older = self.outbound.link(slot);
        let newer = self.chain(key).find(|newer| self.outbound.link(*newer) == Some(slot));
        match (newer, older) {
            (Some(newer), older) => self.outbound.set_link(newer, older),
            (None, Some(older)) => self.outbound_index.insert(key, older),
            (None, None) => self.outbound_index.remove(key),
        }
        self.outbound.remove(slot)
    }

    /// Removes all SAs of `owner`; how many there were.
    pub(crate) fn remove_owner(&mut self, owner: u64) -> usize {
        let mut removed = 0_usize;
        while let Some(slot) = self.outbound_of(owner)
            && self.remove_outbound_slot(slot)
        {
            removed = removed.saturating_add(1);
        }
        while let Some(spi) = self.inbound_of(owner)
            && self.remove_inbound(spi)
        {
            removed = removed.saturating_add(1);
        }
        removed
    }

    /// Changes where the outbound SAs of `owner` are sent; how many there are.
    pub(crate) fn move_peer(&mut self, owner: u64, remote: IpAddr, encap: Encap) -> usize {
        let mut moved = 0_usize;
        for slot in 0..self.outbound.capacity() {
            let Some(sa) = self.outbound_mut(slot) else { continue };
            if sa.owner() == owner && sa.association.local.is_ipv4() == remote.is_ipv4() {
                sa.association.remote = remote;
                sa.association.encap = encap;
                moved = moved.saturating_add(1);
            }
        }
        moved
    }

    /// Sets the size of the path of all outbound SAs of `owner`; how many there are.
    pub(crate) fn set_mtu(&mut self, owner: u64, mtu: u16) -> usize {
        let mut set = 0_usize;
        for slot in 0..self.outbound.capacity() {
            let Some(sa) = self.outbound_mut(slot) else { continue };
            if sa.owner() == owner {
                sa.options.mtu = mtu;
                set = set.saturating_add(1);
            }
        }
        set
    }

    /// To be called when an SA has been used: has it something to tell?
    pub(crate) fn note_inbound(&mut self, slot: usize) {
        if self.inbound.get(slot).is_some_and(|held| held.sa.raised != held.told) {
            self.inbound.push_pending(slot);
        }
    }

    /// The same for an outbound SA.
    pub(crate) fn note_outbound(&mut self, slot: usize) {
        if let Some(held) = self.outbound.get_mut(slot) {
            // An export took back what was raised: it can be raised, and told, again.
            held.told.reservation_low &= held.sa.raised.reservation_low;
        }
        if self.outbound.get(slot).is_some_and(|held| held.sa.raised != held.told) {
            self.outbound.push_pending(slot);
        }
    }

    /// The next thing that an SA has to tell.
    pub(crate) fn poll_notice(&mut self) -> Option<Notice> {
        while let Some(slot) = self.outbound.pop_pending() {
            let Some(held) = self.outbound.get_mut(slot) else { continue };
            let (owner, spi) = (held.sa.owner(), held.sa.spi());
            let notice =
                next_notice(held.sa.raised, &mut held.told, owner, spi, Direction::Outbound);
            if notice.is_some() {
                self.note_outbound(slot);
                return notice;
            }
        }
        while let Some(slot) = self.inbound.pop_pending() {
            let Some(held) = self.inbound.get_mut(slot) else { continue };
            let (owner, spi) = (held.sa.owner(), held.sa.spi());
            let notice =
                next_notice(held.sa.raised, &mut held.told, owner, spi, Direction::Inbound);
            if notice.is_some() {
                self.note_inbound(slot);
                return notice;
            }
        }
        None
    }
}

/// The most pressing of what was raised and not told, and marks it as told.
fn next_notice(
    raised: Raised,
    told: &mut Raised,
    owner: u64,
    spi: Spi,
    direction: Direction,
) -> Option<Notice> {
    if raised.hard && !told.hard {
        // Nothing else matters of an SA that has ended.
        *told = raised;
        return Some(Notice::HardExpired { owner, direction, spi });
    }
    if raised.soft && !told.soft {
        told.soft = true;
        return Some(Notice::SoftExpired { owner, direction, spi });
    }
    if raised.reservation_low && !told.reservation_low {
        told.reservation_low = true;
        return Some(Notice::ReservationLow { owner, spi });
    }
    if raised.sequence_low && !told.sequence_low {
        told.sequence_low = true;
        return Some(Notice::SequenceLow { owner, spi });
    }
    None
}

/// Where the SA stands in the index.
fn key_of(sa: &OutboundSa) -> u32 {
    let Association { policy, ref selectors, .. } = sa.association;
    let TrafficSelectors { local, remote, .. } = selectors;
    key(policy, local.addresses.one_host(), remote.addresses.one_host())
}

/// The key of a policy's SAs for these hosts. Two may be the same by chance: whoever looks compares.
fn key(policy: PolicyId, local: Option<u128>, remote: Option<u128>) -> u32 {
    let mut key = u64::from(policy.0);
    for host in [local, remote] {
        let host = host.map_or(0, |host| fold(host).wrapping_add(1));
        key = (key ^ host).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        key ^= key >> 32;
    }
    u32::try_from(key >> 32).unwrap_or_default()
}
