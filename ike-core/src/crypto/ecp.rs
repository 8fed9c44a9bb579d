//! Elliptic curves: ECP groups 19 and 20, and curve25519.
//!
//! ```text
//! group   KE body          shared secret
//! 19      x | y  (64)      x (32)          RFC 5903 §7
//! 20      x | y  (96)      x (48)
//! 31      u      (32)      u (32)          RFC 8031 §3.1, RFC 7748
//! ```
//!
//! A coordinate is big endian and padded to its full length; the numbers of curve25519 are the little-endian
//! strings of RFC 7748, carried as they are. A point multiplication is done in one step: it cannot be left half way.

use core::marker::PhantomData;
use core::ops::Mul as _;

use p256::NistP256;
use p256::elliptic_curve::point::AffineCoordinates;
use p256::elliptic_curve::{
    AffinePoint, CurveArithmetic, CurveGroup, FieldBytes, NonZeroScalar, ProjectivePoint, PublicKey,
};
use p384::NistP384;
use x25519_dalek::{X25519_BASEPOINT_BYTES, x25519};
use zeroize::Zeroize;

use super::{DhError, DhGroup, MAX_PUBLIC_LEN, PublicValueError, Step, WorkMemory};
use crate::wire::numbers::GroupDescription;

/// Group 19, P-256.
pub static ECP_256: Ecp<NistP256> = Ecp::new(GroupDescription::ECP_256, 32, 80);
/// Group 20, P-384.
pub static ECP_384: Ecp<NistP384> = Ecp::new(GroupDescription::ECP_384, 48, 240);
/// Group 31, curve25519.
pub static CURVE25519: Curve25519 = Curve25519;

/// A curve over a prime field, with its group of prime order (RFC 5903).
#[derive(Clone, Copy, Debug)]
pub struct Ecp<C> {
    id: GroupDescription,
    coordinate_len: usize,
    /// In modular multiplications of MODP-2048, on a machine of 32 bits.
    cost: u32,
    curve: PhantomData<fn() -> C>,
}

impl<C: CurveArithmetic> Ecp<C> {
    const fn new(id: GroupDescription, coordinate_len: usize, cost: u32) -> Self {
        Self { id, coordinate_len, cost, curve: PhantomData }
    }

    /// The point x | y, if it is on the curve. Infinity has no such form. The order of the group is prime and its
    /// cofactor 1, so that every such point has that order and needs no further test.
    fn point(&self, public: &[u8]) -> Result<AffinePoint<C>, PublicValueError> {
        let length = PublicValueError::Length { expected: self.public_len(), given: public.len() };
        let (x, y) = public.split_at_checked(self.coordinate_len).ok_or(length)?;
        let x = <&FieldBytes<C>>::try_from(x).map_err(|_| length)?;
        let y = <&FieldBytes<C>>::try_from(y).map_err(|_| length)?;
        Option::from(AffinePoint::<C>::from_coordinates(x, y)).ok_or(PublicValueError::NotOnCurve)
    }

    /// The number from 1 to the order less one that `private` is, if it is one.
    fn scalar(private: &[u8]) -> Option<NonZeroScalar<C>> {
        let bytes = FieldBytes::<C>::try_from(private).ok()?;
        Option::from(NonZeroScalar::<C>::from_repr(bytes))
    }

    fn multiply(&self, memory: &mut WorkMemory) -> Result<(), DhError> {
        let mut scalar = Self::scalar(memory.private()).ok_or(DhError::PrivateValue)?;
        let result = if memory.value().is_empty() {
            let public = PublicKey::<C>::from_secret_scalar(&scalar);
            let mut bytes = [0; MAX_PUBLIC_LEN];
            let (x, y) = (public.as_affine().x(), public.as_affine().y());
            for (place, byte) in bytes.iter_mut().zip(x.iter().chain(&y)) {
                *place = *byte;
            }
            memory.set_result(bytes.get(..self.public_len()).unwrap_or_default())
        } else {
            let point = ProjectivePoint::<C>::from(self.point(memory.value())?);
            // RFC 5903 §7: the shared secret is the x coordinate alone.
            let mut x = point.mul(*scalar).to_affine().x();
            let result = memory.set_result(&x);
            x.zeroize();
            result
        };
        scalar.zeroize();
        result
    }
}

impl<C: CurveArithmetic> DhGroup for Ecp<C> {
    fn id(&self) -> GroupDescription {
        self.id
    }

    fn public_len(&self) -> usize {
        self.coordinate_len.saturating_mul(2)
    }

    fn private_len(&self) -> usize {
        self.coordinate_len
    }

    fn shared_len(&self) -> usize {
        self.coordinate_len
    }

    /// 1 to the order of the group less one.
    fn is_private(&self, private: &[u8]) -> bool {
        Self::scalar(private).is_some()
    }

    fn check_public(&self, public: &[u8]) -> Result<(), PublicValueError> {
        self.point(public).map(drop)
    }

    fn begin(
        &self,
        memory: &mut WorkMemory,
        private: &[u8],
        peer_public: Option<&[u8]>,
    ) -> Result<(), DhError> {
        memory.start(self, private, peer_public)
    }

    fn step(&self, memory: &mut WorkMemory, _budget: u32) -> Step {
        if !memory.is_at_work(self.id) || memory.is_done() {
            return Step { used: 0, done: true };
        }
        // Both operands were checked by `begin`.
        let _ = self.multiply(memory);
        Step { used: self.cost, done: true }
    }

    fn finish(&self, memory: &mut WorkMemory, out: &mut [u8]) -> Result<usize, DhError> {
        memory.take_result(self.id, out)
    }
}

/// The function X25519 (RFC 7748 §5), as group 31 of IKE (RFC 8031).
#[derive(Clone, Copy, Debug)]
pub struct Curve25519;

impl Curve25519 {
    const LEN: usize = 32;
    const COST: u32 = 20;
}

impl DhGroup for Curve25519 {
    fn id(&self) -> GroupDescription {
        GroupDescription::CURVE25519
    }

    fn public_len(&self) -> usize {
        Self::LEN
    }

    fn private_len(&self) -> usize {
        Self::LEN
    }

    fn shared_len(&self) -> usize {
        Self::LEN
    }

    /// Every string of 32 bytes is a public value (RFC 7748 §5); what leaves no secret shows at the end.
    fn check_public(&self, public: &[u8]) -> Result<(), PublicValueError> {
        if public.len() == Self::LEN {
            Ok(())
        } else {
            Err(PublicValueError::Length { expected: Self::LEN, given: public.len() })
        }
    }

    fn begin(
        &self,
        memory: &mut WorkMemory,
        private: &[u8],
        peer_public: Option<&[u8]>,
    ) -> Result<(), DhError> {
        memory.start(self, private, peer_public)
    }

    fn step(&self, memory: &mut WorkMemory, _budget: u32) -> Step {
        if !memory.is_at_work(self.id()) || memory.is_done() {
            return Step { used: 0, done: true };
        }
        // Lengths were checked by `begin`. `x25519` sets the bits of the scalar that RFC 7748 §5 fixes.
        if let Ok(mut scalar) = <[u8; Self::LEN]>::try_from(memory.private()) {
            let u = <[u8; Self::LEN]>::try_from(memory.value()).unwrap_or(X25519_BASEPOINT_BYTES);
            let mut result = x25519(scalar, u);
            let _ = memory.set_result(&result);
            scalar.zeroize();
            result.zeroize();
        }
        Step { used: Self::COST, done: true }
    }

    /// An all-zero result tells of a point of small order, and is no secret (RFC 7748 §6.1, RFC 8031 §3.2).
    fn finish(&self, memory: &mut WorkMemory, out: &mut [u8]) -> Result<usize, DhError> {
        let zero = memory.value().iter().fold(0, |or, byte| or | byte) == 0;
        if memory.is_at_work(self.id()) && memory.is_done() && zero {
            memory.zeroize();
            return Err(PublicValueError::SmallOrder.into());
        }
        memory.take_result(self.id(), out)
    }
}
