//! Where packets wait while the security association that will protect them is being negotiated.
//!
//! The policy said Protect and there is no SA yet: the packet must not leave in the clear, and dropping it would cost
//! each new flow its first packet. So a few are kept, in order, until the outbound SA is installed (RFC 4301 §4.4.1
//! leaves it to the host whether to keep or to drop). The queue is bounded in packets and in time: an unanswered
//! negotiation must not fill the memory, and a packet that has waited too long is of no use to its sender.

use std::collections::VecDeque;
use std::time::Duration;

use esp_core::PolicyId;
use ike_core::Instant;

/// A packet that waits.
#[derive(Debug)]
pub struct Held {
    /// The policy entry that wants it protected.
    pub policy: PolicyId,
    /// Since when.
    pub since: Instant,
    /// The whole inner packet.
    pub packet: Vec<u8>,
}

/// A bounded queue of held packets. When it is full, the oldest makes room.
#[derive(Debug)]
pub struct Hold {
    queue: VecDeque<Held>,
    packets: usize,
    patience: Duration,
}

impl Hold {
    /// Room for this many packets, each for at most so long.
    #[must_use]
    pub fn new(packets: usize, patience: Duration) -> Self {
        Self { queue: VecDeque::with_capacity(packets), packets, patience }
    }

    /// Keeps `packet`; returns the one that had to go for it, if any.
    pub fn push(&mut self, policy: PolicyId, packet: Vec<u8>, now: Instant) -> Option<Held> {
        let arriving = Held { policy, since: now, packet };
        if self.packets == 0 {
            return Some(arriving);
        }
        let oldest = if self.queue.len() < self.packets { None } else { self.queue.pop_front() };
        self.queue.push_back(arriving);
        oldest
    }

    /// The packets that waited for this policy, in the order in which they came.
    pub fn release(&mut self, policy: PolicyId) -> Vec<Held> {
        let (ready, waiting): (Vec<_>, Vec<_>) =
            self.queue.drain(..).partition(|held| held.policy == policy);
        self.queue.extend(waiting);
        ready
    }

    /// The packets that have waited too long.
    pub fn expire(&mut self, now: Instant) -> Vec<Held> {
        let fresh = |held: &Held| now.since(held.since) < self.patience;
        let stale = self.queue.iter().take_while(|held| !fresh(held)).count();
        self.queue.drain(..stale).collect()
    }

    /// When [`Self::expire`] will next have something to return.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.queue.front().map(|oldest| oldest.since.after(self.patience))
    }

    /// How many packets wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.queue.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

impl Default for Hold {
    /// 64 packets for 30 seconds: a burst at the start of a flow, and the time after which most senders have given up.
    fn default() -> Self {
        Self::new(64, Duration::from_secs(30))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: PolicyId = PolicyId(1);
    const B: PolicyId = PolicyId(2);

    fn numbers(held: &[Held]) -> Vec<u8> {
        held.iter().map(|held| held.packet[0]).collect()
    }

    #[test]
    fn releases_one_policy_in_order() {
        let mut hold = Hold::default();
        for (policy, number) in [(A, 1), (B, 2), (A, 3)] {
            assert!(hold.push(policy, vec![number], Instant::ZERO).is_none());
        }
        assert_eq!(numbers(&hold.release(A)), [1, 3]);
        assert_eq!(numbers(&hold.release(A)), [0; 0]);
        assert_eq!(numbers(&hold.release(B)), [2]);
        assert!(hold.is_empty());
    }

    #[test]
    fn the_oldest_makes_room() {
        let mut hold = Hold::new(2, Duration::from_secs(1));
        assert!(hold.push(A, vec![1], Instant::ZERO).is_none());
        assert!(hold.push(A, vec![2], Instant::ZERO).is_none());
        assert_eq!(hold.push(A, vec![3], Instant::ZERO).unwrap().packet, [1]);
        assert_eq!(numbers(&hold.release(A)), [2, 3]);
        assert_eq!(
            Hold::new(0, Duration::MAX).push(A, vec![9], Instant::ZERO).unwrap().packet,
            [9]
        );
    }

    #[test]
    fn patience_ends() {
        let mut hold = Hold::new(8, Duration::from_secs(1));
        hold.push(A, vec![1], Instant::from_millis(0));
        hold.push(A, vec![2], Instant::from_millis(500));
        assert_eq!(hold.deadline(), Some(Instant::from_millis(1000)));
        assert_eq!(numbers(&hold.expire(Instant::from_millis(999))), [0; 0]);
        assert_eq!(numbers(&hold.expire(Instant::from_millis(1000))), [1]);
        assert_eq!(hold.deadline(), Some(Instant::from_millis(1500)));
    }
}
