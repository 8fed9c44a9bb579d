//! The wire format against what real implementations sent.

#[path = "common/recorded.rs"]
mod recorded;
#[path = "wire/sessions.rs"]
mod sessions;
#[path = "wire/snapshots.rs"]
mod snapshots;
