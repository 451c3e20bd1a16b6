//! The program itself, on the simulated cloud: exit codes, what it prints, what it keeps, and what becomes of it when it is killed.

mod check;
mod fleet;
mod harness;
mod plan;
mod policy;
#[cfg(unix)]
mod resume;
mod sim;
#[cfg(unix)]
mod terminals;
