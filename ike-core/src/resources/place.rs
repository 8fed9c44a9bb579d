//! A place for a value: while it is empty, every byte of it is zero.
//!
//! To assign an empty variant is to write its tag; what stood behind the tag stays. So the empty variant is here as long as
//! the full one, and its content is zeros: assigning it writes all of them, padding included, by the rules of the language
//! and not by the grace of a compiler. A static full of such places lies in `.bss`, and a place that was used is the same,
//! byte for byte, as one that never was.
//!
//! ```text
//!  Empty   | 0 | 0 0 0 0 0 0 0 0 0 0 0 0 0 |
//!  Used    | 1 | padding |      value      |
//! ```

use core::fmt::Debug;

/// A value, or zeros.
#[derive(Debug)]
#[repr(u8)]
pub(crate) enum Place<T: Whole> {
    /// Nothing.
    Empty(T::Zeros) = 0,
    /// A value.
    Used(T) = 1,
}

/// What a place can hold. Implemented by [`whole`], which counts the zeros.
pub(crate) trait Whole: Sized {
    /// An array of bytes that covers a place but for its tag.
    type Zeros: Debug;
    /// That many zeros.
    const ZEROS: Self::Zeros;
}

impl<T: Whole> Place<T> {
    /// An empty place.
    pub(crate) const EMPTY: Self = Self::Empty(T::ZEROS);

    pub(crate) const fn get(&self) -> Option<&T> {
        match self {
            Self::Used(value) => Some(value),
            Self::Empty(_) => None,
        }
    }

    pub(crate) const fn get_mut(&mut self) -> Option<&mut T> {
        match self {
            Self::Used(value) => Some(value),
            Self::Empty(_) => None,
        }
    }
}

/// How a used place is laid out: `#[repr(u8)]` says so (RFC 2195 of Rust).
#[repr(C)]
struct Used<T>(u8, T);

/// Bytes of a place for a `T` behind its tag.
pub(crate) const fn behind_the_tag<T>() -> usize {
    size_of::<Used<T>>().saturating_sub(1)
}

/// Implements [`Whole`] for types.
macro_rules! whole {
    ($($kind:ty),*) => {$(
        impl $crate::resources::Whole for $kind {
            type Zeros = [u8; $crate::resources::behind_the_tag::<Self>()];
            const ZEROS: Self::Zeros = [0; $crate::resources::behind_the_tag::<Self>()];
        }

        const _: () = {
            let covered = $crate::resources::behind_the_tag::<$kind>().saturating_add(1);
            assert!(size_of::<$crate::resources::Place<$kind>>() == covered);
        };
    )*};
}
pub(crate) use whole;
