//! What people and programs see.
pub(crate) mod paint;
