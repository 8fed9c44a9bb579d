//! The TUN device: whole IP packets, one a read and one a write. It lasts as long as the file is open.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::net::IpAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt as _;
use std::process::Command;

use rustix::fs::OFlags;
use rustix::ioctl::{Opcode, Setter, ioctl, opcode};

/// A TUN device.
#[derive(Debug)]
pub struct Tun {
    file: File,
    name: String,
}

/// `struct ifreq` as TUNSETIFF reads it: a name, zero-terminated, and flags.
#[repr(C)]
struct InterfaceRequest {
    name: [u8; 16],
    flags: i16,
    _rest: [u8; 22],
}

/// No link layer, and no header in front of each packet.
const IFF_TUN: i16 = 0x0001;
const IFF_NO_PI: i16 = 0x1000;
const TUNSETIFF: Opcode = opcode::write::<i32>(b'T', 202);

impl Tun {
    /// Creates the device, gives it its addresses and sets it up.
    pub fn create(name: &str, addresses: &[(IpAddr, u8)], mtu: u16) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
            .open("/dev/net/tun")
            .map_err(|error| explain("/dev/net/tun", &error))?;
        let mut request =
            InterfaceRequest { name: [0; 16], flags: IFF_TUN | IFF_NO_PI, _rest: [0; 22] };
        for (to, from) in request.name.iter_mut().zip(name.bytes().take(15)) {
            *to = from;
        }
        // SAFETY: TUNSETIFF reads one `struct ifreq` of 40 bytes, which `InterfaceRequest` is laid out as, and keeps
        // no pointer to it.
        unsafe { ioctl(&file, Setter::<TUNSETIFF, InterfaceRequest>::new(request)) }
            .map_err(|error| explain(name, &error.into()))?;
        // The device shall not send IPv6 router solicitations of its own; kernels without IPv6 do not know the word.
        let _ = ip(&["link", "set", "dev", name, "addrgenmode", "none"]);
        for (address, prefix) in addresses {
            ip(&["addr", "add", &format!("{address}/{prefix}"), "dev", name])?;
        }
        ip(&["link", "set", "dev", name, "mtu", &mtu.to_string(), "up"])?;
        Ok(Self { file, name: name.to_owned() })
    }

    /// Routes a network into the device.
    pub fn route(&self, network: IpAddr, prefix: u8, undo: &mut Undo) -> io::Result<()> {
        let network = format!("{}/{prefix}", masked(network, prefix));
        barrier(&[&network], undo)?;
        ip(&["route", "replace", &network, "dev", &self.name])
    }

    /// Routes one host into the device, from this address of ours, in a table of its own.
    pub fn route_host(
        &self,
        host: IpAddr,
        from: IpAddr,
        table: &str,
        undo: &mut Undo,
    ) -> io::Result<()> {
        let (host, from) = (host.to_string(), from.to_string());
        barrier(&[&host, "table", table], undo)?;
        ip(&["route", "replace", &host, "dev", &self.name, "src", &from, "table", table])
    }

    /// The next packet that the system sends into the tunnel, into `buffer`.
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        (&self.file).read(buffer)
    }

    /// A packet that came out of the tunnel.
    pub fn write(&self, packet: &[u8]) -> io::Result<()> {
        (&self.file).write(packet).map(|_| ())
    }
}

impl AsFd for Tun {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Worse than that of any route into the device: it counts when that one is gone.
const BARRIER_METRIC: &str = "9999";

/// A gateway that is killed takes the device along, and the device its routes. What was to be protected must not find another
/// way then, in clear: behind each route into the device stands one that leads nowhere.
fn barrier(to: &[&str], undo: &mut Undo) -> io::Result<()> {
    let words = |how| {
        ["route", how, "unreachable"]
            .into_iter()
            .chain(to.iter().copied())
            .chain(["metric", BARRIER_METRIC])
    };
    ip(&words("replace").collect::<Vec<_>>())?;
    undo.later(words("del"));
    Ok(())
}

/// Commands of [`ip`] that take back what was changed of the system; run when dropped, the latest first.
#[derive(Debug, Default)]
pub struct Undo(Vec<Vec<String>>);

impl Undo {
    pub fn later<'w>(&mut self, command: impl IntoIterator<Item = &'w str>) {
        self.0.push(command.into_iter().map(str::to_owned).collect());
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        while let Some(command) = self.0.pop() {
            let _ = ip(&command.iter().map(String::as_str).collect::<Vec<_>>());
        }
    }
}

/// Addresses, routes and rules are a matter of netlink; iproute2 speaks it, on every Linux that is a router.
pub fn ip(arguments: &[&str]) -> io::Result<()> {
    let output = Command::new("ip")
        .args(arguments)
        .output()
        .map_err(|error| explain("ip (iproute2)", &error))?;
    if output.status.success() {
        return Ok(());
    }
    let reason = String::from_utf8_lossy(&output.stderr);
    Err(io::Error::other(format!("ip {}: {}", arguments.join(" "), reason.trim())))
}

fn explain(what: &str, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{what}: {error}"))
}

/// The first `prefix` bits of `address`: iproute2 takes no network with host bits.
fn masked(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32_u32.saturating_sub(prefix.into())).unwrap_or(0);
            IpAddr::from((u32::from(address) & mask).to_be_bytes())
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128_u32.saturating_sub(prefix.into())).unwrap_or(0);
            IpAddr::from((u128::from(address) & mask).to_be_bytes())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_bits_are_cut_off() {
        for (address, prefix, network) in [
            ("10.1.2.3", 24, "10.1.2.0"),
            ("10.1.2.3", 0, "0.0.0.0"),
            ("10.1.2.3", 32, "10.1.2.3"),
            ("2001:db8::ffff", 64, "2001:db8::"),
            ("2001:db8::ffff", 0, "::"),
        ] {
            assert_eq!(
                masked(address.parse().unwrap(), prefix),
                network.parse::<IpAddr>().unwrap()
            );
        }
    }
}
