//! Packet formats: what this crate reads and writes of IP, UDP and ESP.

pub(crate) mod checksum;
pub(crate) mod esp;
pub(crate) mod icmp;
pub(crate) mod ip;
pub(crate) mod udp;
