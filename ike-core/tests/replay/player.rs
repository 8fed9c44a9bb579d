//! Plays one end of a session against the recorded messages of the other.

use core::time::Duration;
use std::collections::VecDeque;

use esp_core::{Encap, PolicyId, SaParams};
use ike_core::config::{
    ChildConfig, ChildId, Config, EspProposal, Lifetime, Limits, PeerConfig, PeerDirectory, PeerId,
    Phase1Mode, RemoteId, Secret, Timing,
};
use ike_core::error::Discard;
use ike_core::event::{ChildSaHandle, Event, IkeSaHandle, Role, Traffic};
use ike_core::natt::{Classified, classify};
use ike_core::wire::numbers::{ExchangeType, GroupDescription, PayloadType, ProtocolId};
use ike_core::wire::{DeletePayload, HEADER_LEN, Header, SaBody};
use ike_core::{Context, Endpoint, Instant, Path, Resources, Work};

use crate::script::Script;
use crate::session::{End, Message, Session, mode, payloads, selectors, transform};
use crate::watch::Watch;

const PEER: PeerId = PeerId(1);

/// Plays the whole session, and looks whether everything was derived as recorded and nothing is left at the end.
pub(crate) fn play(text: &str, end: End, link: Link) {
    let session = Session::read(text);
    let mut player = Player::new(&session, end);
    for (index, message) in session.messages.iter().enumerate() {
        let hostile = link == Link::Hostile && message.from != end && !message.unsupported;
        if hostile {
            player.forge(index);
        }
        player.step(index);
        if hostile {
            player.repeat(index);
        }
    }
    player.finish();
}

/// What lies between the two ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    /// Each datagram comes in once, as it was.
    Plain,
    /// Before each one, forgeries of it; behind it, a duplicate. The session goes on as if there were none, to the byte.
    Hostile,
}

/// An engine in the place of one end.
pub(crate) struct Player<'s> {
    session: &'s Session,
    end: End,
    pub(crate) endpoint: Endpoint<'static>,
    config: Config<'static>,
    watch: Watch,
    script: Script,
    pub(crate) now: Instant,
    /// Sent, and not yet compared.
    pub(crate) outbox: VecDeque<(Path, Vec<u8>)>,
    pub(crate) events: Vec<Event>,
    ike: Option<IkeSaHandle>,
    pairs: Vec<Pair>,
}

/// A pair of child SAs.
struct Pair {
    handle: ChildSaHandle,
    config: ChildId,
    inbound: u32,
    outbound: u32,
    /// The outbound SA was taken.
    has_outbound: bool,
    /// The peer has deleted it.
    gone: bool,
}

/// What came of asking the engine for a message.
#[derive(PartialEq, Eq)]
enum Begun {
    /// The recorded one.
    Same,
    /// One about another SPI: of the same form, but no byte behind the header is the same.
    OtherSpi,
    /// It has nothing to delete.
    Nothing,
}

impl<'s> Player<'s> {
    pub(crate) fn new(session: &'s Session, end: End) -> Self {
        let watch = Watch::new(session, end);
        let mut script = Script::default();
        let resources = Box::leak(Box::new(Resources::<2, 8, 8, 2048>::new()));
        let peers: &'static dyn PeerDirectory = Box::leak(Box::new([peer(session, end)]));
        let config = Config {
            peers,
            crypto: watch.crypto,
            timing: Timing::default(),
            // One recorded peer asks for lifetimes shorter than are agreed to otherwise.
            limits: Limits {
                shortest_lifetime: Lifetime { seconds: 1, kilobytes: 0 },
                ..Limits::DEFAULT
            },
        };
        Self {
            session,
            end,
            endpoint: Endpoint::new(resources.storage(), &mut script).expect("storage"),
            config,
            watch,
            script,
            now: Instant::from_millis(1_000_000),
            outbox: VecDeque::new(),
            events: Vec::new(),
            ike: None,
            pairs: Vec::new(),
        }
    }

    /// The message with this index: sent by us, or come in.
    pub(crate) fn step(&mut self, index: usize) {
        let message = &self.session.messages[index];
        if message.unsupported || message.duplicate {
            return;
        }
        self.now = Instant::from_millis(1_000_000 + message.at);
        if message.from == self.end {
            self.send(index);
        } else {
            assert_eq!(self.outbox.pop_front(), None, "before message {index}");
            let received = self.receive(index);
            assert_eq!(received, Ok(()), "message {index}");
        }
    }

    /// Lets the next message of the other end come in.
    pub(crate) fn receive(&mut self, index: usize) -> Result<(), Discard> {
        // What we answer draws its numbers now.
        let answer = self.session.messages.get(index + 1);
        if let Some(answer) = answer.filter(|next| next.from == self.end)
            && !self.is_spontaneous(answer)
        {
            self.prepare(answer);
        }
        self.feed(index)
    }

    /// The message comes in; what is recorded behind it does not matter.
    pub(crate) fn feed(&mut self, index: usize) -> Result<(), Discard> {
        let message = &self.session.messages[index];
        let path = self.path(message);
        let mut datagram = message.datagram.clone();
        let result = self.with(|endpoint, cx| endpoint.handle_datagram(cx, path, &mut datagram));
        self.drain();
        result
    }

    /// The same for a message that the engine answers with a notify instead of the recorded answer.
    pub(crate) fn receive_refused(&mut self, index: usize) -> Result<(), Discard> {
        // The notify has a message id, and no other draw.
        self.script.numbers.push_back(1);
        let result = self.feed(index);
        assert!(self.script.is_used_up());
        result
    }

    /// Each byte that a hash covers is changed in turn: none of these datagrams has any effect.
    fn forge(&mut self, index: usize) {
        let message = &self.session.messages[index];
        let Some(covered) = message.covered() else { return };
        let path = self.path(message);
        // Cookies and message id; the other fields of the header are covered by nothing.
        for at in (0..16).chain(20..24).chain(covered) {
            let mut forged = message.datagram.clone();
            forged[at] ^= 1 << (at % 8);
            let result = self.with(|endpoint, cx| endpoint.handle_datagram(cx, path, &mut forged));
            assert!(result.is_err(), "message {index} with byte {at} changed");
        }
        let before = (self.outbox.len(), self.events.len());
        self.drain();
        assert_eq!((self.outbox.len(), self.events.len()), before, "message {index} forged");
    }

    /// The message comes in once more. At most, the answer goes out once more.
    fn repeat(&mut self, index: usize) {
        let (sent, events) = (self.outbox.len(), self.events.len());
        let result = self.feed(index);
        // Informational exchanges are not remembered, since repeating them does no harm.
        let informational =
            self.session.messages[index].header().exchange == ExchangeType::INFORMATIONAL;
        assert!(result.is_err() || informational, "message {index} twice");
        assert_eq!(self.events.len(), events, "message {index} twice: {:?}", self.events);
        let again: Vec<_> = self.outbox.drain(sent..).collect();
        assert!(again.len() <= 1, "message {index} twice");
        assert!(again.iter().all(|datagram| Some(datagram) == self.outbox.back()));
    }

    /// Makes us send a message, if nothing that came in has, and compares it with the recorded one.
    pub(crate) fn send(&mut self, index: usize) {
        let message = &self.session.messages[index];
        if self.is_spontaneous(message) {
            self.prepare(message);
            let begun = self.begin(message);
            self.drain();
            if begun != Begun::Same {
                let sent = self.outbox.drain(..).map(|(_, datagram)| datagram.len());
                let marker = if message.encap { 4 } else { 0 };
                let expected =
                    (begun == Begun::OtherSpi).then_some(message.datagram.len() + marker);
                assert!(sent.eq(expected), "instead of message {index}");
                self.script = Script::default();
                return;
            }
        }
        let Some((path, mut datagram)) = self.outbox.pop_front() else {
            panic!("message {index} is not sent: {:?}", self.events);
        };
        assert_eq!(path, self.path(message), "message {index}");
        let datagram = match path.encap {
            true => match classify(&mut datagram) {
                Classified::Ike(datagram) => datagram,
                other => panic!("message {index} is {other:?}"),
            },
            false => &mut datagram,
        };
        compare(index, message, datagram);
        if message.source_faked
            && let Some(recorded) = &message.plaintext
        {
            // What was encrypted is the recorded text; what the engine wanted to encrypt differs in one payload alone.
            let used = self.watch.cipher.used();
            let ours = used.iter().rev().find_map(|used| used.plaintext.as_ref()).unwrap();
            let first = message.header().next_payload;
            assert_eq!(comparable(message, first, ours), comparable(message, first, recorded));
        }
        assert!(self.script.is_used_up(), "after message {index}: {:?}", self.script);
    }

    /// Whether one of our messages answers none of the peer's.
    fn is_spontaneous(&self, message: &Message) -> bool {
        let header = message.header();
        if message.is_phase1() {
            return header.cookies.responder.is_zero();
        }
        let same = |other: &&Message| other.header().message_id == header.message_id;
        let first = self.session.messages.iter().find(same).expect("it is among them");
        core::ptr::eq(first, message)
    }

    /// Puts the random numbers of one of our messages on the script.
    fn prepare(&mut self, message: &Message) {
        let header = message.header();
        let cookies = header.cookies;
        let cookie = match self.end {
            End::A => cookies.initiator,
            End::B => cookies.responder,
        };
        // Each end draws a cookie for the first message that it sends.
        let first = self.session.messages.iter().find(|message| message.from == self.end);
        if first.is_some_and(|first| core::ptr::eq(first, message)) {
            self.script.cookies.push_back(cookie.0.to_vec());
        }
        if !message.is_phase1() && self.is_spontaneous(message) {
            self.script.numbers.push_back(header.message_id);
        }
        if let Some(body) = message.body(PayloadType::SA)
            && !message.is_phase1()
        {
            let sa = SaBody::parse(&body, 0).unwrap();
            let proposal = sa.proposals().next().unwrap().unwrap();
            let spi = proposal.spi.try_into().expect("four bytes");
            self.script.numbers.push_back(u32::from_be_bytes(spi));
        }
        self.script.nonces.extend(message.body(PayloadType::NONCE));
        if let Some(public) = message.body(PayloadType::KEY_EXCHANGE) {
            let own = if self.end == End::A { 0 } else { 1 };
            let all = self.session.exponentiations();
            let this = all.iter().find(|dh| dh.public[own] == public).expect("a recorded value");
            let group = all.iter().filter(|dh| dh.group == this.group);
            let index = group.take_while(|dh| dh.public[own] != public).count();
            self.script.privates.push_back(index as u8);
        }
        if message.source_faked
            && let Some(plaintext) = &message.plaintext
        {
            self.watch.cipher.substitute(plaintext);
        }
    }

    /// Asks the engine for what `message` begins.
    fn begin(&mut self, message: &Message) -> Begun {
        let path = self.path(message);
        match message.header().exchange {
            ExchangeType::IDENTITY_PROTECTION | ExchangeType::AGGRESSIVE => {
                self.with(|endpoint, cx| endpoint.initiate(cx, PEER, path)).unwrap();
            }
            ExchangeType::QUICK_MODE => {
                let child = ChildId(message.child.expect("a child"));
                let live = |pair: &&Pair| pair.config == child && !pair.gone && self.is_up(pair);
                match self.pairs.iter().rfind(live).map(|pair| pair.handle) {
                    Some(pair) => self.with(|endpoint, cx| endpoint.rekey_child(cx, pair)).unwrap(),
                    None => self
                        .with(|endpoint, cx| endpoint.create_child(cx, PEER, child, path))
                        .unwrap(),
                }
            }
            ExchangeType::INFORMATIONAL => {
                let body = message.body(PayloadType::DELETE).expect("a Delete");
                let delete = DeletePayload::parse(&body, 0).unwrap();
                if delete.protocol == ProtocolId::ISAKMP {
                    let ike = self.ike.expect("an IKE SA");
                    self.pass(Duration::from_secs(3));
                    self.with(|endpoint, cx| endpoint.delete_ike(cx, ike)).unwrap();
                    return Begun::Same;
                }
                let spi = delete.spis().next().unwrap().try_into().unwrap();
                let spi = u32::from_be_bytes(spi);
                let named = |pair: &&Pair| pair.inbound == spi || pair.outbound == spi;
                let Some(pair) = self.pairs.iter().find(named) else { return Begun::Nothing };
                // Of a pair that its kernel refuses, strongSwan names the peer's SPI instead of its own.
                let begun = if pair.inbound == spi { Begun::Same } else { Begun::OtherSpi };
                let pair = pair.handle;
                self.with(|endpoint, cx| endpoint.delete_child(cx, pair)).unwrap();
                return begun;
            }
            other => panic!("{other:?}"),
        }
        Begun::Same
    }

    fn is_up(&self, pair: &Pair) -> bool {
        self.endpoint.child_sas().any(|child| child.handle == pair.handle && child.up)
    }

    /// Lets the engine work, be the data plane for it, and take what it sends.
    pub(crate) fn drain(&mut self) {
        loop {
            while self.with(|endpoint, cx| endpoint.handle_work(cx, u32::MAX)) == Work::More {}
            let before = (self.outbox.len(), self.events.len());
            while let Some(event) = self.endpoint.poll_event() {
                self.on_event(event);
            }
            while let Some(transmit) = self.endpoint.poll_transmit() {
                self.outbox.push_back((transmit.path, transmit.datagram.to_vec()));
            }
            if before == (self.outbox.len(), self.events.len()) {
                return;
            }
            // Packets come in on each pair as soon as it is there, and so the outbound SAs of renewed ones are used.
            for pair in self.pairs.iter().filter(|pair| !pair.has_outbound) {
                let handle = pair.handle;
                let mut cx = Context { now: self.now, rng: &mut self.script, config: &self.config };
                let seen = Traffic { received: true, sent: false };
                self.endpoint.note_traffic(&mut cx, handle, seen);
            }
        }
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::IkeSaUp { ike, role, .. } => {
                let expected = if self.end == End::A { Role::Initiator } else { Role::Responder };
                assert_eq!(role, expected);
                self.ike = Some(ike);
            }
            Event::ChildSaReady { child, config, inbound, outbound, .. } => {
                let params = self.endpoint.take_inbound(child).expect("the inbound SA");
                assert_eq!(params.spi, inbound);
                self.check(&params, config);
                self.pairs.push(Pair {
                    handle: child,
                    config,
                    inbound: inbound.get(),
                    outbound: outbound.get(),
                    has_outbound: false,
                    gone: false,
                });
            }
            Event::ChildSaOutboundGone { child, .. } => {
                self.pairs.iter_mut().find(|pair| pair.handle == child).unwrap().gone = true;
            }
            Event::ChildSaOutbound { child } => {
                let params = self.endpoint.take_outbound(child).expect("the outbound SA");
                let pair = self.pairs.iter_mut().find(|pair| pair.handle == child).unwrap();
                pair.has_outbound = true;
                let config = pair.config;
                self.check(&params, config);
            }
            _ => {}
        }
        self.events.push(event);
    }

    /// What the data plane gets is what the recorded peers installed.
    fn check(&self, params: &SaParams, config: ChildId) {
        let id = u64::from(config.0);
        let child = self.session.children().iter().find(|child| child["id"] == id).unwrap();
        assert_eq!(params.keys.as_slice(), self.session.keymat(params.spi.get()));
        assert_eq!((params.transform, params.mode), (transform(child), mode(child)));
        assert_eq!(params.esn, child["esn"] == true);
        assert_eq!(params.selectors, selectors(child, self.end));
        let encap = self.session.messages.last().is_some_and(|message| message.encap);
        assert_eq!(matches!(params.encap, Encap::Udp { .. }), encap);
    }

    /// The end of the session: keys as recorded, everything taken down if the session took it down.
    fn finish(mut self) {
        self.check_keys();
        let quick_modes = self.session.messages.iter().filter(|message| message.child.is_some());
        let expected = quick_modes.filter(|message| !message.unsupported).count();
        assert_eq!(self.pairs.len(), expected);
        assert!(self.pairs.iter().all(|pair| pair.has_outbound));
        assert_eq!(self.outbox.pop_front(), None);
        let deleted = self.session.messages.iter().any(|message| {
            let delete = message.body(PayloadType::DELETE);
            delete.is_some_and(|body| body[4] == ProtocolId::ISAKMP.0)
        });
        if deleted {
            self.pass(Duration::from_secs(3));
            assert_eq!(self.endpoint.ike_sas().count(), 0);
            assert_eq!(self.endpoint.child_sas().count(), 0);
            assert_eq!(self.outbox.pop_front(), None);
        }
    }

    /// Whether everything was derived that the log of the recorded end shows.
    pub(crate) fn check_keys(&self) {
        for (name, value) in self.session.derived(self.end) {
            assert!(self.watch.prf.gave(&value), "{name} is another one");
        }
        let (key, iv) = self.session.cipher_key_and_iv(self.end);
        let used = self.watch.cipher.used();
        assert!(used.iter().all(|used| used.key == key), "the key of the cipher");
        assert!(used.first().is_none_or(|used| used.iv == iv), "the first IV");
    }

    /// Time passes.
    pub(crate) fn pass(&mut self, time: Duration) {
        self.now = self.now.after(time);
        self.with(|endpoint, cx| endpoint.handle_timeout(cx));
        self.drain();
    }

    pub(crate) fn with<T>(
        &mut self,
        call: impl FnOnce(&mut Endpoint<'static>, &mut Context<'_>) -> T,
    ) -> T {
        let mut cx = Context { now: self.now, rng: &mut self.script, config: &self.config };
        call(&mut self.endpoint, &mut cx)
    }

    /// The way of a message, as seen from here.
    fn path(&self, message: &Message) -> Path {
        let encap = message.encap;
        let port = if encap { 4500 } else { 500 };
        let local = (self.session.address(self.end), port).into();
        Path { local, remote: self.session.seen_at(self.end.other(), encap), encap }
    }
}

/// What `end` is configured to.
fn peer(session: &Session, end: End) -> PeerConfig<'static> {
    let children: Vec<ChildConfig<'static>> = session
        .children()
        .iter()
        .map(|child| {
            let proposal = EspProposal { transform: transform(child), esn: child["esn"] == true };
            let offered = child["offered"].as_u64().unwrap_or(1) as usize;
            let seconds = child["lifetime"][end.name()].as_u64().expect("seconds") as u32;
            ChildConfig {
                id: ChildId(child["id"].as_u64().unwrap() as u32),
                policy: PolicyId(0),
                selectors: selectors(child, end),
                mode: mode(child),
                proposals: vec![proposal; offered].leak(),
                pfs: child["pfs"].as_u64().map(|group| GroupDescription(group as u16)),
                lifetime: Lifetime { seconds, kilobytes: 0 },
                replay_window: 64,
            }
        })
        .collect();
    let proposals = vec![session.proposal()].leak();
    let psk = Secret::Bytes(session.psk(end).leak());
    let (local, remote) = (session.address(end), session.seen_at(end.other(), false).ip());
    let mut peer = PeerConfig::new(PEER, local, remote, psk, proposals, children.leak());
    peer.local_id = session.identity(end);
    peer.remote_id = RemoteId::Exactly(session.identity(end.other()));
    peer.lifetime = Lifetime { seconds: session.lifetime(), kilobytes: 0 };
    peer.initial_contact = session.sends_initial_contact();
    peer.quirks.proposals_from_zero = session.numbers_from_zero();
    if session.is_aggressive() {
        peer.exchange = Phase1Mode::Aggressive;
        peer.danger_answer_aggressive_psk = true;
    }
    peer
}

/// Byte for byte; but each implementation has its own vendor IDs, and random NAT-D payloads cannot be foretold.
fn compare(index: usize, message: &Message, ours: &[u8]) {
    if ours == message.datagram {
        return;
    }
    let (recorded, header) = (message.header(), Header::parse(ours).expect("a header"));
    let differs = message.source_faked || message.body(PayloadType::VENDOR_ID).is_some();
    let plain = message.plaintext.is_none();
    assert!(differs && plain, "message {index} differs:\n{ours:02x?}\n{:02x?}", message.datagram);
    assert_eq!(header.cookies, recorded.cookies, "message {index}");
    assert_eq!(header.exchange, recorded.exchange, "message {index}");
    assert_eq!(header.flags, recorded.flags, "message {index}");
    let chains = [(header, ours), (recorded, &message.datagram)];
    let [ours, recorded] = chains.map(|(header, datagram)| {
        comparable(message, header.next_payload, &datagram[HEADER_LEN..])
    });
    assert_eq!(ours, recorded, "message {index}");
}

/// The payloads that do not depend on who sends them. Behind the SA payload, aggressive mode has them in any order.
fn comparable(message: &Message, first: PayloadType, chain: &[u8]) -> Vec<(PayloadType, Vec<u8>)> {
    let mut payloads = payloads(first, chain);
    payloads.retain(|(kind, _)| *kind != PayloadType::VENDOR_ID);
    if message.source_faked {
        let source = payloads.iter().rposition(|(kind, _)| *kind == PayloadType::NAT_D);
        payloads.remove(source.expect("a NAT-D payload"));
    }
    if message.header().exchange == ExchangeType::AGGRESSIVE {
        payloads.sort_by_key(|(kind, _)| kind.0);
    }
    payloads
}
