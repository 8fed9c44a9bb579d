//! What the SA payloads of both phases have in common: RFC 2408 §3.4 and §4.2.

use crate::error::{Error, MismatchedAttribute, PeerMisbehaved, ProposalMismatch, Refusal};
use crate::wire::numbers::Doi;
use crate::wire::{Payload, Proposal, SITUATION_IDENTITY_ONLY, SaBody, Transform};

/// An SA payload of one of these DOIs, walked once from end to end, so that nothing is chosen from a broken one.
pub(crate) fn parse<'a>(payload: Payload<'a>, dois: &[Doi]) -> Result<SaBody<'a>, Error> {
    let sa = SaBody::parse(payload.body, payload.offset)?;
    if !dois.contains(&sa.doi) {
        return Err(Refusal::Doi(sa.doi).into());
    }
    if sa.situation != SITUATION_IDENTITY_ONLY {
        return Err(Refusal::Situation(sa.situation).into());
    }
    sa.check()?;
    Ok(sa)
}

/// The one proposal with one transform that an answer is made of (RFC 2408 §4.2).
pub(crate) fn only<'a>(sa: &SaBody<'a>) -> Result<(Proposal<'a>, Transform<'a>), Error> {
    let mut only = None;
    for proposal in sa.proposals() {
        let proposal = proposal?;
        for transform in proposal.transforms() {
            if only.replace((proposal, transform?)).is_some() {
                return Err(PeerMisbehaved::SeveralChosen.into());
            }
        }
    }
    only.ok_or(PeerMisbehaved::ChosenNotProposed.into())
}

/// How far a transform came: for the one sentence that tells people what to change.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Near {
    agreed: u8,
    mismatch: ProposalMismatch,
}

impl Near {
    pub(crate) const fn new(
        agreed: u8,
        attribute: MismatchedAttribute,
        ours: Option<u32>,
        theirs: Option<u32>,
    ) -> Self {
        Self {
            agreed,
            mismatch: ProposalMismatch { proposal: 0, transform: 0, attribute, ours, theirs },
        }
    }

    /// Keeps whichever came further.
    pub(crate) fn keep(nearest: &mut Option<Self>, near: Self, proposal: u8, transform: u8) {
        if nearest.is_none_or(|found| near.agreed > found.agreed) {
            let mismatch = ProposalMismatch { proposal, transform, ..near.mismatch };
            *nearest = Some(Self { mismatch, ..near });
        }
    }

    pub(crate) fn refusal(nearest: Option<Self>) -> Error {
        Refusal::Proposal(nearest.map_or(
            ProposalMismatch {
                proposal: 0,
                transform: 0,
                attribute: MismatchedAttribute::TransformId,
                ours: None,
                theirs: None,
            },
            |near| near.mismatch,
        ))
        .into()
    }
}
