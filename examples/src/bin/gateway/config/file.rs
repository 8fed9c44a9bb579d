//! The file as it is written: one struct a table, one field a key, with the defaults.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use esp_core::{Mode, PortRange, Protocol};
use ike_core::config::{
    DpdAction, LifetimePolicy, Limits, NatTraversal, Phase1Mode, Preference, Timing,
};
use serde::Deserialize;
use toml::Spanned;

use super::values::{
    Esp, Group, Hex, Id, Ids, Interface, IpProtocol, Network, Phase1, Ports, Remote, Span, Start,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    pub(super) local: LocalTable,
    #[serde(default)]
    pub(super) timing: TimingTable,
    #[serde(default)]
    pub(super) limits: LimitsTable,
    #[serde(default, rename = "peer")]
    pub(super) peers: Vec<PeerTable>,
    #[serde(default, rename = "policy")]
    pub(super) policies: Vec<Spanned<PolicyTable>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LocalTable {
    pub(super) addresses: Spanned<Vec<IpAddr>>,
    #[serde(default = "default_device")]
    pub(super) device: Spanned<String>,
    #[serde(default)]
    pub(super) device_addresses: Vec<Interface>,
    #[serde(default = "default_mtu")]
    pub(super) mtu: Spanned<u16>,
    pub(super) path_mtu: Option<Spanned<u16>>,
    #[serde(default = "yes")]
    pub(super) routes: bool,
    pub(super) control: Option<PathBuf>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TimingTable {
    pub(super) retransmit_first: Option<Span>,
    pub(super) backoff_percent: Option<u16>,
    pub(super) retransmit_tries: Option<u8>,
    pub(super) exchange_timeout: Option<Span>,
    pub(super) rekey_percent: Option<u8>,
    pub(super) rekey_percent_responder: Option<u8>,
    pub(super) rekey_jitter_percent: Option<u8>,
    pub(super) overlap: Option<Span>,
    pub(super) linger: Option<Span>,
    pub(super) keepalive: Option<Span>,
    pub(super) outbound_first: Option<Span>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct LimitsTable {
    pub(super) half_open: Option<u16>,
    pub(super) half_open_per_source: Option<u16>,
    pub(super) unproven_dh_per_second: Option<u16>,
    pub(super) datagram: Option<u16>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PeerTable {
    pub(super) name: Spanned<String>,
    pub(super) remote: Spanned<Remote>,
    pub(super) local: Option<Spanned<IpAddr>>,
    pub(super) local_id: Option<Id>,
    pub(super) remote_id: Option<Ids>,
    pub(super) psk: Option<Spanned<String>>,
    pub(super) psk_hex: Option<Spanned<Hex>>,
    pub(super) psk_file: Option<Spanned<PathBuf>>,
    #[serde(default)]
    pub(super) exchange: Exchange,
    #[serde(default)]
    pub(super) danger_answer_aggressive_psk: bool,
    #[serde(default)]
    pub(super) preference: Whose,
    pub(super) proposals: Spanned<Vec<Phase1>>,
    pub(super) lifetime: Option<Spanned<Span>>,
    #[serde(default)]
    pub(super) lifetime_policy: LifetimeRule,
    #[serde(default)]
    pub(super) nat_traversal: Nat,
    #[serde(default = "yes")]
    pub(super) fragmentation: bool,
    pub(super) dpd: Option<DpdTable>,
    #[serde(default = "yes")]
    pub(super) initial_contact: bool,
    #[serde(default)]
    pub(super) quirks: QuirksTable,
    #[serde(default, rename = "child")]
    pub(super) children: Vec<ChildTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DpdTable {
    #[serde(default = "dpd_idle")]
    pub(super) idle: Span,
    #[serde(default = "dpd_retry")]
    pub(super) retry: Span,
    #[serde(default = "dpd_tries")]
    pub(super) tries: u8,
    #[serde(default)]
    pub(super) action: DpdThen,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct QuirksTable {
    pub(super) accept_unencrypted_auth: bool,
    pub(super) accept_narrowing: bool,
    pub(super) delete_ike_deletes_children: bool,
    #[cfg(feature = "legacy")]
    pub(super) sha256_96: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ChildTable {
    pub(super) name: Spanned<String>,
    #[serde(default)]
    pub(super) mode: Protects,
    pub(super) local: Option<Spanned<Network>>,
    pub(super) remote: Option<Spanned<Network>>,
    #[serde(default = "any_protocol")]
    pub(super) protocol: IpProtocol,
    #[serde(default = "any_port")]
    pub(super) local_port: Ports,
    #[serde(default = "any_port")]
    pub(super) remote_port: Ports,
    pub(super) proposals: Spanned<Vec<Esp>>,
    pub(super) pfs: Option<Group>,
    pub(super) lifetime: Option<Spanned<Span>>,
    #[serde(default)]
    pub(super) lifetime_kilobytes: u32,
    #[serde(default)]
    pub(super) lifetime_packets: u32,
    #[serde(default = "default_window")]
    pub(super) replay_window: Spanned<u16>,
    #[serde(default = "default_start")]
    pub(super) start: Spanned<Start>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PolicyTable {
    pub(super) action: Spanned<Action>,
    /// `PEER/CHILD`, for `protect`.
    pub(super) child: Option<String>,
    pub(super) local: Option<Network>,
    pub(super) remote: Option<Network>,
    pub(super) protocol: Option<IpProtocol>,
    pub(super) local_port: Option<Ports>,
    pub(super) remote_port: Option<Ports>,
}

/// An enum of one word each, with the engine's own behind it.
macro_rules! words {
    ($name:ident => $engine:ident { $first:ident => $first_value:ident $(, $word:ident => $value:ident)* }) => {
        #[derive(Clone, Copy, Default, Deserialize)]
        #[serde(rename_all = "lowercase")]
        pub(super) enum $name { #[default] $first, $($word),* }

        impl From<$name> for $engine {
            fn from(word: $name) -> Self {
                match word {
                    $name::$first => Self::$first_value,
                    $($name::$word => Self::$value,)*
                }
            }
        }
    };
}

words!(Exchange => Phase1Mode { Main => Main, Aggressive => Aggressive });
words!(LifetimeRule => LifetimePolicy { Obey => Obey, Claim => Claim, Strict => Strict, Exact => Exact });
words!(Whose => Preference { Initiator => Initiator, Responder => Responder });
words!(Nat => NatTraversal { Auto => Auto, Force => Force, Off => Off });
words!(Protects => Mode { Tunnel => Tunnel, Transport => Transport });
words!(DpdThen => DpdAction { Restart => Restart, Clear => Clear });

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Action {
    Protect,
    Discard,
    Bypass,
}

fn default_device() -> Spanned<String> {
    Spanned::new(0..0, "ike0".into())
}
fn default_mtu() -> Spanned<u16> {
    // What fits an Ethernet path with every header and trailer of ESP in UDP over IPv6.
    Spanned::new(0..0, 1_380)
}
fn default_window() -> Spanned<u16> {
    Spanned::new(0..0, 128)
}
fn default_start() -> Spanned<Start> {
    Spanned::new(0..0, Start::default())
}
fn any_protocol() -> IpProtocol {
    IpProtocol(Protocol::Any)
}
fn any_port() -> Ports {
    Ports(PortRange::ANY)
}
fn dpd_idle() -> Span {
    Span(Duration::from_secs(30))
}
fn dpd_retry() -> Span {
    Span(Duration::from_secs(5))
}
fn dpd_tries() -> u8 {
    4
}
fn yes() -> bool {
    true
}

impl From<TimingTable> for Timing {
    fn from(table: TimingTable) -> Self {
        let or = |span: Option<Span>, default: Duration| span.map_or(default, |Span(span)| span);
        let default = Self::DEFAULT;
        Self {
            retransmit_first: or(table.retransmit_first, default.retransmit_first),
            backoff_percent: table.backoff_percent.unwrap_or(default.backoff_percent),
            retransmit_tries: table.retransmit_tries.unwrap_or(default.retransmit_tries),
            exchange_timeout: or(table.exchange_timeout, default.exchange_timeout),
            rekey_percent: table.rekey_percent.unwrap_or(default.rekey_percent),
            rekey_percent_responder: table
                .rekey_percent_responder
                .unwrap_or(default.rekey_percent_responder),
            rekey_jitter_percent: table
                .rekey_jitter_percent
                .unwrap_or(default.rekey_jitter_percent),
            overlap: or(table.overlap, default.overlap),
            linger: or(table.linger, default.linger),
            keepalive: or(table.keepalive, default.keepalive),
            outbound_first: or(table.outbound_first, default.outbound_first),
            ..default
        }
    }
}

impl From<LimitsTable> for Limits {
    fn from(table: LimitsTable) -> Self {
        let default = Self::DEFAULT;
        Self {
            half_open: table.half_open.unwrap_or(default.half_open),
            half_open_per_source: table
                .half_open_per_source
                .unwrap_or(default.half_open_per_source),
            unproven_dh_per_second: table
                .unproven_dh_per_second
                .unwrap_or(default.unproven_dh_per_second),
            datagram: table.datagram.unwrap_or(default.datagram),
            ..default
        }
    }
}
