//! Where datagrams go, and how that is said to a data plane.

use core::net::SocketAddr;

use esp_core::{Encap, Outer};

/// Where datagrams come from and go to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Path {
    /// Our address and port.
    pub local: SocketAddr,
    /// The peer's address and port, as we see it.
    pub remote: SocketAddr,
    /// Whether it is the socket that carries the non-ESP marker: UDP 4500 (RFC 3948 §2.2).
    pub encap: bool,
}

impl Path {
    /// The outer header of ESP along this path: in UDP between its ports where it carries the marker, else directly over IP.
    /// For packets that came in ([`Arrival::Esp`](esp_core::Arrival::Esp)), and for peers that move
    /// ([`Processor::move_peer`](esp_core::Processor::move_peer)).
    #[must_use]
    pub const fn outer(self) -> Outer {
        let encap = if self.encap {
            Encap::Udp { local_port: self.local.port(), remote_port: self.remote.port() }
        } else {
            Encap::None
        };
        let (local, remote) = (self.local.ip(), self.remote.ip());
        Outer { local, remote, encap, traffic_class: 0, dont_fragment: false }
    }

    /// The path of IKE to whom ESP in UDP came from, for [`Endpoint::path_seen`](crate::Endpoint::path_seen); `None` if it
    /// came directly over IP, where peers do not move.
    #[must_use]
    pub const fn of_esp(outer: Outer) -> Option<Self> {
        let Encap::Udp { local_port, remote_port } = outer.encap else { return None };
        Some(Self {
            local: SocketAddr::new(outer.local, local_port),
            remote: SocketAddr::new(outer.remote, remote_port),
            encap: true,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Path;

    #[test]
    fn there_and_back() {
        let path = |remote: &str, encap| Path {
            local: "192.0.2.1:4500".parse().unwrap(),
            remote: remote.parse().unwrap(),
            encap,
        };
        for remote in ["198.51.100.7:31000", "[2001:db8::7]:4500"] {
            assert_eq!(Path::of_esp(path(remote, true).outer()), Some(path(remote, true)));
            assert_eq!(Path::of_esp(path(remote, false).outer()), None);
        }
    }
}
