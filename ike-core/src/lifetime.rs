//! Lifetimes: what both ends make of two wishes (RFC 2407 §4.5.4), and when an SA is renewed and ends.

use core::time::Duration;

use rand_core::CryptoRng;

use crate::config::{Lifetime, LifetimePolicy, Limits, Timing};
use crate::error::{BufferTooSmall, Capacity, Error};
use crate::event::Role;
use crate::time::Instant;
use crate::wire::numbers::{
    Doi, IpsecAttribute, LifeType, NotifyType, Phase1Attribute, ProtocolId,
};
use crate::wire::{Attribute, AttributesWriter, MessageWriter, NotifyPayload, attribute};

/// What a peer who names no lifetime means (RFC 2407 §4.5: 28 800 seconds).
pub(crate) const DEFAULT: Lifetime = Lifetime { seconds: 28_800, kilobytes: 0 };

/// Collects the life type and life duration attributes of one transform, whatever their form and order.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LifetimeReader {
    unit: Option<LifeType>,
    early: Option<u32>,
    seconds: Option<u32>,
    kilobytes: Option<u32>,
}

impl LifetimeReader {
    pub(crate) fn life_type(&mut self, attribute: &Attribute<'_>) {
        self.unit = attribute.as_u32().and_then(|unit| u16::try_from(unit).ok()).map(LifeType);
        if let Some(duration) = self.early.take() {
            self.store(duration);
        }
    }

    pub(crate) fn duration(&mut self, attribute: &Attribute<'_>) {
        // More than 32 bits of seconds is forever; so it is read.
        let duration = attribute.as_u32().unwrap_or(u32::MAX);
        match self.unit {
            Some(_) => self.store(duration),
            None => self.early = Some(duration),
        }
    }

    fn store(&mut self, duration: u32) {
        match self.unit.take() {
            Some(LifeType::SECONDS) => self.seconds = Some(duration),
            Some(LifeType::KILOBYTES) => self.kilobytes = Some(duration),
            _ => {}
        }
    }

    /// What the transform says, `default` for the seconds if it says none. No seconds at all is what strongSwan
    /// sends whose own renewal is off: it means no limit, not an SA that is over when it begins.
    pub(crate) fn finish(self, default: Lifetime) -> Lifetime {
        Lifetime {
            seconds: self.seconds.filter(|&seconds| seconds != 0).unwrap_or(default.seconds),
            kilobytes: self.kilobytes.unwrap_or(0),
        }
    }
}

/// Writes a lifetime as pairs of attributes.
pub(crate) fn emit(
    attributes: &mut AttributesWriter<'_, '_>,
    life_type: u16,
    life_duration: u16,
    lifetime: Lifetime,
) -> Result<(), BufferTooSmall> {
    attributes.attribute_tv(life_type, LifeType::SECONDS.0)?;
    attributes.attribute_u32(life_duration, lifetime.seconds)?;
    if lifetime.kilobytes != 0 {
        attributes.attribute_tv(life_type, LifeType::KILOBYTES.0)?;
        attributes.attribute_u32(life_duration, lifetime.kilobytes)?;
    }
    Ok(())
}

/// Appends RESPONDER-LIFETIME: we give less than the initiator proposed (RFC 2407 §4.6.3.1). The protocol tells which
/// phase the SA is of, and thereby which numbers its attributes have.
pub(crate) fn emit_responder_lifetime(
    message: &mut MessageWriter<'_>,
    protocol: ProtocolId,
    spi: &[u8],
    lifetime: Lifetime,
) -> Result<(), Error> {
    let (life_type, duration) = match protocol {
        ProtocolId::ISAKMP => (Phase1Attribute::LIFE_TYPE.0, Phase1Attribute::LIFE_DURATION.0),
        _ => (IpsecAttribute::LIFE_TYPE.0, IpsecAttribute::LIFE_DURATION.0),
    };
    let mut data: heapless::Vec<u8, 24> = heapless::Vec::new();
    let mut put = |bytes: &[u8]| data.extend_from_slice(bytes).map_err(|_| Capacity::Message(24));
    put(&attribute::tv(life_type, LifeType::SECONDS.0))?;
    put(&attribute::tlv_u32(duration, lifetime.seconds))?;
    if lifetime.kilobytes != 0 {
        put(&attribute::tv(life_type, LifeType::KILOBYTES.0))?;
        put(&attribute::tlv_u32(duration, lifetime.kilobytes))?;
    }
    let kind = NotifyType::RESPONDER_LIFETIME;
    let notify = NotifyPayload { doi: Doi::IPSEC, protocol, spi, kind, data: &data, offset: 0 };
    notify.emit(message)?;
    Ok(())
}

/// What one end wants of a lifetime, to be compared with what the other says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wish {
    pub(crate) policy: LifetimePolicy,
    pub(crate) ours: Lifetime,
    /// [`Limits::shortest_lifetime`].
    pub(crate) shortest: Lifetime,
}

/// What a responder agrees to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Agreed {
    pub(crate) lifetime: Lifetime,
    /// The initiator does not know it: RESPONDER-LIFETIME has to tell.
    pub(crate) tell: bool,
}

impl Wish {
    /// That of an initiator: it has said what it wants, and takes less.
    pub(crate) const fn of_initiator(ours: Lifetime, limits: &Limits) -> Self {
        Self { policy: LifetimePolicy::Claim, ours, shortest: limits.shortest_lifetime }
    }

    /// What a responder makes of the initiator's lifetime, or the unit that is refused with both values.
    pub(crate) fn agree(&self, theirs: Lifetime) -> Result<Agreed, (u32, u32)> {
        let Self { policy, ours, .. } = *self;
        let least = self.least();
        if theirs.seconds < least.seconds {
            return Err((least.seconds, theirs.seconds));
        }
        if theirs.kilobytes != 0 && theirs.kilobytes < least.kilobytes {
            return Err((least.kilobytes, theirs.kilobytes));
        }
        let shorter = shorter(ours, theirs);
        match policy {
            LifetimePolicy::Obey => Ok(Agreed { lifetime: theirs, tell: false }),
            LifetimePolicy::Claim => Ok(Agreed { lifetime: shorter, tell: shorter != theirs }),
            LifetimePolicy::Strict if shorter == theirs => {
                Ok(Agreed { lifetime: theirs, tell: false })
            }
            LifetimePolicy::Exact if ours == theirs => Ok(Agreed { lifetime: theirs, tell: false }),
            LifetimePolicy::Strict | LifetimePolicy::Exact => {
                // The unit that is at fault; a shorter time is one only where nothing else will do.
                let time = theirs.seconds > ours.seconds
                    || (policy == LifetimePolicy::Exact && theirs.seconds != ours.seconds);
                let of =
                    |lifetime: Lifetime| if time { lifetime.seconds } else { lifetime.kilobytes };
                Err((of(ours), of(theirs)))
            }
        }
    }

    /// What an initiator makes of a responder's lifetime: the shorter one, within reason. The peer may end the SA
    /// earlier than that; we do not renew for it without end.
    pub(crate) fn accept(&self, theirs: Lifetime) -> Lifetime {
        let (least, mut lifetime) = (self.least(), shorter(self.ours, theirs));
        lifetime.seconds = lifetime.seconds.max(least.seconds);
        if lifetime.kilobytes != 0 {
            lifetime.kilobytes = lifetime.kilobytes.max(least.kilobytes);
        }
        lifetime
    }

    /// Nothing shorter than this, unless we would propose it ourselves.
    fn least(&self) -> Lifetime {
        let Self { ours, shortest, .. } = *self;
        let kilobytes = match ours.kilobytes {
            0 => shortest.kilobytes,
            kilobytes => kilobytes.min(shortest.kilobytes),
        };
        Lifetime { seconds: ours.seconds.min(shortest.seconds), kilobytes }
    }
}

/// The shorter of two lifetimes in each unit; zero kilobytes is no limit.
pub(crate) fn shorter(a: Lifetime, b: Lifetime) -> Lifetime {
    let kilobytes = match (a.kilobytes, b.kilobytes) {
        (0, limit) | (limit, 0) => limit,
        (a, b) => a.min(b),
    };
    Lifetime { seconds: a.seconds.min(b.seconds), kilobytes }
}

/// When an SA is to be renewed and when it ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Schedule {
    pub(crate) soft: Option<Instant>,
    pub(crate) hard: Option<Instant>,
}

impl Schedule {
    /// Of both deadlines the earlier. What is not renewed any more stays so.
    pub(crate) fn earlier_of(self, before: Self) -> Self {
        let earlier = |new: Option<Instant>, old: Option<Instant>| Some(new?.min(old?));
        Self { soft: earlier(self.soft, before.soft), hard: earlier(self.hard, before.hard) }
    }
}

/// The schedule of an SA that begins now. The initiator renews first, the responder later, should the initiator
/// not; both a little early at random, so that many SAs do not renew at once.
pub(crate) fn schedule(
    timing: &Timing,
    role: Role,
    lifetime: Lifetime,
    now: Instant,
    rng: &mut dyn CryptoRng,
) -> Schedule {
    let hard = Duration::from_secs(u64::from(lifetime.seconds));
    let share = soft_percent(timing, role, rng);
    let soft = percent(hard, share);
    Schedule { soft: Some(now.after(soft)), hard: Some(now.after(hard)) }
}

/// The share of the hard lifetime after which the SA is renewed, in hundredths of a percent.
pub(crate) fn soft_percent(timing: &Timing, role: Role, rng: &mut dyn CryptoRng) -> u32 {
    let base = match role {
        Role::Initiator => timing.rekey_percent,
        Role::Responder => timing.rekey_percent_responder,
    };
    let base = u32::from(base.min(100)).saturating_mul(100);
    let span = u32::from(timing.rekey_jitter_percent.min(100)).saturating_mul(100);
    let jitter = rng.next_u32().checked_rem(span.saturating_add(1)).unwrap_or_default();
    base.saturating_sub(jitter)
}

/// `share` hundredths of a percent of `whole`.
pub(crate) fn percent(whole: Duration, share: u32) -> Duration {
    whole.checked_mul(share).and_then(|product| product.checked_div(10_000)).unwrap_or(whole)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::header;
    use crate::wire::numbers::{ExchangeType, PayloadType};
    use crate::wire::{Cookie, CookiePair, HEADER_LEN, Payloads};

    const fn lifetime(seconds: u32, kilobytes: u32) -> Lifetime {
        Lifetime { seconds, kilobytes }
    }

    #[test]
    fn no_seconds_are_no_limit() {
        for (said, meant) in [(None, 28_800), (Some(0), 28_800), (Some(1), 1)] {
            let reader = LifetimeReader { seconds: said, ..LifetimeReader::default() };
            assert_eq!(reader.finish(DEFAULT), lifetime(meant, 0));
        }
    }

    fn wish(policy: LifetimePolicy, ours: Lifetime) -> Wish {
        Wish { policy, ours, shortest: lifetime(10, 64) }
    }

    #[test]
    fn policies() {
        use LifetimePolicy::{Claim, Exact, Obey, Strict};
        let ours = lifetime(3600, 0);
        let longer = lifetime(7200, 0);
        let shorter = lifetime(1800, 5000);
        let agree = |policy, ours, theirs| wish(policy, ours).agree(theirs);
        let yes = |lifetime, tell| Ok(Agreed { lifetime, tell });
        assert_eq!(agree(Obey, ours, longer), yes(longer, false));
        assert_eq!(agree(Claim, ours, longer), yes(ours, true));
        assert_eq!(agree(Claim, ours, shorter), yes(shorter, false));
        assert_eq!(agree(Strict, ours, shorter), yes(shorter, false));
        assert_eq!(agree(Strict, ours, longer), Err((3600, 7200)));
        assert_eq!(agree(Exact, ours, ours), yes(ours, false));
        assert_eq!(agree(Exact, ours, shorter), Err((3600, 1800)));
        assert_eq!(agree(Exact, ours, lifetime(3600, 5000)), Err((0, 5000)));
        let limited = lifetime(3600, 1000);
        assert_eq!(agree(Strict, limited, shorter), Err((1000, 5000)));
        // Each unit by itself.
        assert_eq!(agree(Claim, limited, shorter), yes(lifetime(1800, 1000), true));
        assert_eq!(agree(Claim, lifetime(1200, 9000), shorter), yes(lifetime(1200, 5000), true));
    }

    /// RFC 2407 §4.6.3.1: the attributes are those of the phase that the SA is of. Peers are lenient there; we are right.
    #[test]
    fn responder_lifetime_is_in_the_numbers_of_its_phase() {
        for (protocol, [life_type, duration]) in
            [(ProtocolId::ISAKMP, [11, 12]), (ProtocolId::ESP, [1, 2])]
        {
            let cookies = CookiePair { initiator: Cookie([1; 8]), responder: Cookie([2; 8]) };
            let mut buffer = [0; 128];
            let head = header(cookies, ExchangeType::INFORMATIONAL, 1, false);
            let mut message = MessageWriter::new(&mut buffer, &head).unwrap();
            emit_responder_lifetime(&mut message, protocol, &[9; 4], lifetime(60, 70)).unwrap();
            let written = message.written();
            let mut payloads =
                Payloads::new(PayloadType::NOTIFICATION, &written[HEADER_LEN..], HEADER_LEN);
            let notify = payloads.next().unwrap().unwrap();
            let notify = NotifyPayload::parse(notify.body, notify.offset).unwrap();
            assert_eq!((notify.protocol, notify.spi), (protocol, &[9; 4][..]));
            let attributes = notify.attributes().map(|attribute| {
                let attribute = attribute.unwrap();
                (attribute.kind, attribute.as_u32().unwrap())
            });
            let expected = [(life_type, 1), (duration, 60), (life_type, 2), (duration, 70)];
            assert!(attributes.eq(expected));
        }
    }

    /// A responder refuses what is too short, an initiator bears with it; neither below what it would ask for itself.
    #[test]
    fn nobody_makes_us_renew_without_end() {
        use LifetimePolicy::{Claim, Obey, Strict};
        for policy in [Obey, Claim, Strict] {
            let ours = wish(policy, lifetime(3600, 0));
            assert_eq!(ours.agree(lifetime(9, 0)), Err((10, 9)));
            assert_eq!(ours.agree(lifetime(10, 63)), Err((64, 63)));
            assert!(policy == Strict || ours.agree(lifetime(10, 64)).is_ok());
            let ours = wish(policy, lifetime(5, 3));
            assert_eq!(ours.agree(lifetime(4, 3)), Err((5, 4)));
            assert_eq!(ours.agree(lifetime(5, 2)), Err((3, 2)));
            assert!(ours.agree(lifetime(5, 3)).is_ok());
        }
        let ours = wish(Claim, lifetime(3600, 0));
        assert_eq!(ours.accept(lifetime(1, 1)), lifetime(10, 64));
        assert_eq!(ours.accept(lifetime(7200, 0)), lifetime(3600, 0));
        assert_eq!(ours.accept(lifetime(60, 100)), lifetime(60, 100));
        assert_eq!(wish(Claim, lifetime(5, 3)).accept(lifetime(1, 1)), lifetime(5, 3));
    }
}
