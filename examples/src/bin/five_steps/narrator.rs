//! Tells what the transcript holds, for a reader who has heard of IPsec and wants to see it.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _, Write};
use std::path::Path;

use examples::packet::View;
use examples::sim::link::{Kind, Outcome};
use examples::sim::reveal::Reader;
use examples::sim::transcript::{Time, isakmp};
use examples::sim::{Entry, HostId, LEFT, RIGHT, What, World};
use ike_core::event::Event;
use ike_core::wire::numbers::ExchangeType;

use crate::Mode;

/// The five steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Step {
    InterestingTraffic,
    Phase1,
    Phase2,
    DataTransfer,
    Termination,
}

impl Step {
    fn heading(self) -> &'static str {
        match self {
            Self::InterestingTraffic => "Step 1: interesting traffic",
            Self::Phase1 => "Step 2: IKE phase 1",
            Self::Phase2 => "Step 3: IKE phase 2",
            Self::DataTransfer => "Step 4: data transfer",
            Self::Termination => "Step 5: tunnel termination",
        }
    }

    fn explanation(self, mode: Mode) -> &'static str {
        match self {
            Self::InterestingTraffic => {
                "A packet for the other site meets a policy that says \"protect\". There is no security\n\
                 association yet, so it waits, and IKE is asked for one."
            }
            Self::Phase1 if mode == Mode::Aggressive => {
                "Aggressive mode: three messages do what six do in main mode. The identities are in the clear,\n\
                 and so is a hash by which anyone may guess the pre-shared key."
            }
            Self::Phase1 => {
                "Main mode: six messages. Algorithms are agreed, a Diffie-Hellman secret is made, and\n\
                 both prove under it that they know the pre-shared key. From message 5 on all is encrypted."
            }
            Self::Phase2 => {
                "Quick mode: three messages under the IKE SA agree on a pair of ESP SAs, one for each\n\
                 direction, and on the traffic they are for."
            }
            Self::DataTransfer => {
                "Whole packets travel inside of ESP: encrypted, authenticated, numbered."
            }
            Self::Termination => {
                "The left router deletes its SAs and says so; both wipe their keys."
            }
        }
    }

    /// The step that an entry of the first negotiation belongs to.
    fn of(entry: &Entry) -> Option<Self> {
        Some(match &entry.what {
            What::Inside { .. } | What::Holding { .. } => Self::InterestingTraffic,
            What::OnLink { packet, .. } => match (Kind::of(packet), exchange(packet)) {
                (
                    Some(Kind::Ike),
                    Some(ExchangeType::IDENTITY_PROTECTION | ExchangeType::AGGRESSIVE),
                ) => Self::Phase1,
                (Some(Kind::Ike), _) => Self::Phase2,
                _ => Self::DataTransfer,
            },
            What::Event { event, .. } => match event {
                Event::IkeSaUp { .. } | Event::IkeSaDown { .. } => Self::Phase1,
                Event::Failed { child: None, .. } => Self::Phase1,
                _ => Self::Phase2,
            },
            What::Installed { .. } => Self::Phase2,
            What::Delivered { .. } | What::Dropped { .. } | What::Ignored { .. } => {
                Self::DataTransfer
            }
            _ => return None,
        })
    }
}

fn exchange(packet: &[u8]) -> Option<ExchangeType> {
    let payload = View::of(packet)?.payload;
    isakmp(&packet[payload]).get(18).copied().map(ExchangeType)
}

/// Writes to standard output.
pub(crate) struct Narrator {
    out: io::Stdout,
    mode: Mode,
    style: Style,
    reader: Reader,
    /// The transcript up to here has been told, or was nothing to tell.
    told: usize,
    /// The text of each IKE message of the transcript, by its place.
    messages: BTreeMap<usize, String>,
}

impl Narrator {
    pub(crate) fn new(world: &mut World<'_>, mode: Mode) -> Self {
        world.transcript.set_room(usize::MAX);
        Self {
            out: io::stdout(),
            mode,
            style: Style {
                on: io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
            },
            reader: Reader::default(),
            told: 0,
            messages: BTreeMap::new(),
        }
    }

    /// Who is there.
    pub(crate) fn picture(&mut self, world: &World<'_>) -> io::Result<()> {
        let (left, right) = (world.host(LEFT), world.host(RIGHT));
        let nat = match world.nats.first() {
            Some(nat) => format!(" ── NAT {}", nat.public()),
            None => String::new(),
        };
        writeln!(
            self.out,
            "Two routers in one process, on a virtual clock; times are in seconds.\n"
        )?;
        writeln!(
            self.out,
            "  {} ── left {}{nat} ══ Internet ══ {} right ── {}",
            left.station, left.address, right.address, right.station
        )
    }

    pub(crate) fn heading(&mut self, step: Step) -> io::Result<()> {
        writeln!(
            self.out,
            "\n{}\n{}\n",
            self.style.bold(step.heading()),
            step.explanation(self.mode)
        )
    }

    /// The first negotiation, step by step. The steps overlap in time by a little: with the last message of phase 1 the
    /// first one of phase 2 is already under way. So each step tells what is its own.
    pub(crate) fn negotiation(&mut self, world: &World<'_>) -> io::Result<()> {
        let mut told: BTreeMap<Step, Vec<String>> = BTreeMap::new();
        for (number, entry) in self.news(world) {
            let step = match Step::of(&entry) {
                // The first packet starts it all; the answer to it is part of the data transfer.
                Some(Step::InterestingTraffic) if told.contains_key(&Step::Phase1) => {
                    Step::DataTransfer
                }
                Some(step) => step,
                None => continue,
            };
            let lines = self.tell(world, number, &entry);
            told.entry(step).or_default().extend(lines);
        }
        for step in [Step::InterestingTraffic, Step::Phase1, Step::Phase2, Step::DataTransfer] {
            self.heading(step)?;
            for line in told.remove(&step).unwrap_or_default() {
                writeln!(self.out, "{line}")?;
            }
        }
        Ok(())
    }

    /// The data transfer: what concerns the keys in full, the packets as sums.
    pub(crate) fn traffic(&mut self, world: &World<'_>) -> io::Result<()> {
        let mut sums: BTreeMap<(HostId, u32), (u64, u64, u64)> = BTreeMap::new();
        writeln!(
            self.out,
            "\nMore pings, and UDP both ways, until the SAs reach their limit in bytes and are renewed:\n"
        )?;
        for (number, entry) in self.news(world) {
            match &entry.what {
                What::OnLink { from: Some(from), packet, outcome, .. }
                    if Kind::of(packet) == Some(Kind::Esp) =>
                {
                    let payload = View::of(packet).map(|view| view.payload).unwrap_or_default();
                    let spi =
                        packet[payload].first_chunk().map_or(0, |spi| u32::from_be_bytes(*spi));
                    let sum = sums.entry((*from, spi)).or_default();
                    sum.0 += 1;
                    sum.1 += packet.len() as u64;
                    sum.2 += u64::from(*outcome == Outcome::Lost);
                }
                What::Inside { .. } | What::Delivered { .. } => {}
                _ => self.print(world, number, &entry)?,
            }
        }
        writeln!(self.out, "\n  ESP packets by SA:")?;
        for ((from, spi), (packets, bytes, lost)) in sums {
            let name = world.transcript.name(Some(from));
            let lost = if lost > 0 { format!(", {lost} lost by the link") } else { String::new() };
            writeln!(
                self.out,
                "    from {name:<6} SPI {spi:08x}  {packets:>4} packets {bytes:>7} bytes{lost}"
            )?;
        }
        Ok(())
    }

    /// Everything that happened since.
    pub(crate) fn rest(&mut self, world: &World<'_>) -> io::Result<()> {
        for (number, entry) in self.news(world) {
            self.print(world, number, &entry)?;
        }
        Ok(())
    }

    pub(crate) fn paragraph(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "\n{text}\n")
    }

    /// Everything that happened since, a line each.
    pub(crate) fn briefly(&mut self, world: &World<'_>) -> io::Result<()> {
        for (_, entry) in self.news(world) {
            writeln!(self.out, "{}", world.transcript.line(&entry))?;
        }
        Ok(())
    }

    pub(crate) fn written(&mut self, directory: &Path) -> io::Result<()> {
        let directory = directory.display();
        writeln!(
            self.out,
            "\nTo read it all again, decrypted:\n  WIRESHARK_CONFIG_DIR={directory} tshark -r {directory}/capture.pcap \\\n    \
             -o esp.enable_encryption_decode:TRUE -o esp.enable_authentication_check:TRUE"
        )
    }

    /// The last line.
    pub(crate) fn figures(&mut self, world: &World<'_>) -> io::Result<()> {
        let figures = world.recorder.figures();
        writeln!(self.out)?;
        if figures.lost_by_link > 0 {
            writeln!(
                self.out,
                "the link lost {} packets that were in the tunnel",
                figures.lost_by_link
            )?;
        }
        for (reason, count) in &figures.reasons {
            writeln!(self.out, "{count} dropped: {reason}")?;
        }
        writeln!(self.out, "{}", self.style.bold(&figures.to_string()))
    }

    /// What has happened since it was last asked. IKE messages are read in their order, with the keys known by now.
    fn news(&mut self, world: &World<'_>) -> Vec<(usize, Entry)> {
        let entries: Vec<_> =
            (self.told..).zip(world.transcript.since(self.told).cloned()).collect();
        self.told = world.transcript.len();
        for (number, entry) in &entries {
            if let Some(text) = self.reader.read_entry(entry, &world.keys) {
                self.messages.insert(*number, text);
            }
        }
        entries
    }

    fn print(&mut self, world: &World<'_>, number: usize, entry: &Entry) -> io::Result<()> {
        for line in self.tell(world, number, entry) {
            writeln!(self.out, "{line}")?;
        }
        Ok(())
    }

    fn tell(&self, world: &World<'_>, number: usize, entry: &Entry) -> Vec<String> {
        let line = world.transcript.line(entry);
        match (&entry.what, self.messages.get(&number)) {
            (What::OnLink { from, packet, outcome, .. }, Some(message)) => {
                let name = |host| world.transcript.name(Some(host));
                let (from, to) = if *from == Some(LEFT) { (LEFT, RIGHT) } else { (RIGHT, LEFT) };
                let ends = View::of(packet).map(|view| format!("{} → {}", view.from(), view.to()));
                let head = format!(
                    "{}  {} → {}, {} {}",
                    Time(entry.at),
                    name(from),
                    name(to),
                    ends.unwrap_or_default(),
                    self.style.red(&outcome.to_string()),
                );
                let mut lines = vec![head.trim_end().to_string()];
                for (number, line) in message.lines().flat_map(fold).enumerate() {
                    let line = if number == 0 { self.style.cyan(&line) } else { line };
                    lines.push(format!("{:12}{line}", ""));
                }
                lines
            }
            (What::Event { .. }, _) => vec![self.style.green(&line)],
            _ => vec![line],
        }
    }
}

/// A line in pieces that fit a terminal, cut behind commas; the pieces that follow are set in a little.
fn fold(line: &str) -> Vec<String> {
    const WIDTH: usize = 88;
    let indent = line.len() - line.trim_start().len() + 4;
    let mut pieces = vec![String::new()];
    for part in line.split_inclusive(", ") {
        let piece = pieces.last_mut().expect("there is always one");
        if !piece.trim().is_empty()
            && piece.chars().count() + part.trim_end().chars().count() > WIDTH
        {
            piece.truncate(piece.trim_end().len());
            pieces.push(format!("{:indent$}{part}", ""));
        } else {
            piece.push_str(part);
        }
    }
    pieces
}

/// Colour, if there is a terminal to show it.
struct Style {
    on: bool,
}

impl Style {
    fn bold(&self, text: &str) -> String {
        self.paint("1", text)
    }

    fn red(&self, text: &str) -> String {
        self.paint("31", text)
    }

    fn green(&self, text: &str) -> String {
        self.paint("32", text)
    }

    fn cyan(&self, text: &str) -> String {
        self.paint("36", text)
    }

    fn paint(&self, code: &str, text: &str) -> String {
        if self.on && !text.is_empty() {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_string()
        }
    }
}
