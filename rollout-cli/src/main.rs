//! `rollout`.

mod args;
mod config;
mod exit;
mod view;

fn main() {}
