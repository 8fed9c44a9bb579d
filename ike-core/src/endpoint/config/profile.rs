//! Ready-made settings for equipment that is known to deviate. Each is a starting point for one peer's configuration; what
//! it changes, and why, stands beside it.

use crate::config::{LifetimePolicy, PeerConfig};

/// Kinds of equipment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Profile {
    /// Cisco IOS and ASA: fragments, clamps lifetimes and says so, splits policies into several quick modes and narrows
    /// selectors to its crypto access list.
    Cisco,
    /// FortiGate: clamps lifetimes (RESPONDER-LIFETIME with phase 2's numbers in phase 1), narrows selectors to those of
    /// its phase 2.
    Fortinet,
    /// SonicWall: sends the last message of phase 1 in the clear; deletes its children with the IKE SA.
    SonicWall,
    /// Windows: fragments, names NAT traversal by its drafts too, takes its children down with the IKE SA.
    Windows,
}

impl PeerConfig<'_> {
    /// The same peer with the settings for a kind of equipment.
    #[must_use]
    pub const fn with_profile(mut self, profile: Profile) -> Self {
        match profile {
            Profile::Cisco => {
                self.fragmentation = true;
                self.lifetime_policy = LifetimePolicy::Claim;
                self.quirks.accept_narrowing = true;
            }
            Profile::Fortinet => {
                self.lifetime_policy = LifetimePolicy::Claim;
                self.quirks.accept_narrowing = true;
            }
            Profile::SonicWall => {
                self.quirks.accept_unencrypted_auth = true;
                self.quirks.delete_ike_deletes_children = true;
            }
            Profile::Windows => {
                self.fragmentation = true;
                self.quirks.delete_ike_deletes_children = true;
            }
        }
        self
    }
}
