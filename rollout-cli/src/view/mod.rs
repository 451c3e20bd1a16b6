//! What people and programs see of a run: a live view on a terminal, plain lines elsewhere, JSON lines for programs.

pub(crate) mod check;
pub(crate) mod lines;
pub(crate) mod live;
pub(crate) mod model;
pub(crate) mod paint;
pub(crate) mod report;
