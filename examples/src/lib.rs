//! Simulator and helpers.
