//! What people and programs see of a readiness report: one file for each form.
//!
//! Every form is a pure function from a report to a text. What several of them say (which findings belong together, how a
//! resource is called for short, what the money comes to) is said once, in [`model`], [`name`] and [`bill`].

mod bill;
pub(crate) mod explain;
mod flow;
mod html;
pub(crate) mod json;
mod junit;
pub(crate) mod list;
mod markdown;
mod markup;
mod model;
mod name;
pub(crate) mod page;
mod sarif;
#[cfg(test)]
mod tests;
mod text;

use rollout_core::readiness::check::Scene;
use rollout_core::readiness::known::Unseen;
use rollout_core::readiness::price::{Estimate, Shape, estimate};
use rollout_core::readiness::report::Report;

use super::paint::Paint;
use crate::exit::Exit;

/// The forms of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Form {
    /// For people, on a terminal and in logs.
    Text,
    /// For programs, and the baseline of a later report.
    Json,
    /// For what collects the findings of scanners.
    Sarif,
    /// For what shows the tests of a pipeline.
    Junit,
    /// For a pull request.
    Markdown,
    /// One page by itself, for a browser and for paper.
    Html,
}

/// What is shown.
#[derive(Clone, Debug)]
pub(crate) struct Shown<'a> {
    /// What all checks say.
    pub(crate) report: &'a Report,
    /// What they said before: the baseline.
    pub(crate) earlier: Option<&'a Report>,
    /// What the environment costs a month.
    pub(crate) estimate: Option<&'a Estimates>,
    /// Where the environment is declared.
    pub(crate) declared: Declared,
    /// How the program ends.
    pub(crate) exit: Exit,
    /// Columns of the terminal; `usize::MAX` where nothing need fit, such as in a log.
    pub(crate) columns: usize,
}

/// Where an environment is declared, as its repository sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Declared {
    /// The file, as a relative URI reference.
    pub(crate) uri: String,
    /// Counted from 1.
    pub(crate) line: usize,
}

/// What an environment costs a month in each shape; what would have to be known to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Estimates {
    /// As it is.
    pub(crate) present: Result<Estimate, Unseen>,
    /// With the release in it, where one is about to be made.
    pub(crate) released: Option<Result<Estimate, Unseen>>,
    /// As the profile `starter` would have it.
    pub(crate) starter: Result<Estimate, Unseen>,
}

impl Estimates {
    /// Of what was seen and what is meant.
    pub(crate) fn of(scene: &Scene<'_>) -> Self {
        let release = scene.intent.release.as_ref();
        Self {
            present: estimate(scene, Shape::Present),
            released: release.map(|_| estimate(scene, Shape::Released)),
            starter: estimate(scene, Shape::Starter),
        }
    }
}

/// A report in a form, whole, with its last line break. Only the text has colours.
pub(crate) fn render(form: Form, shown: &Shown<'_>, paint: Paint) -> String {
    match form {
        Form::Text => text::render(shown, paint),
        Form::Json => json::render(shown),
        Form::Sarif => sarif::render(shown),
        Form::Junit => junit::render(shown),
        Form::Markdown => markdown::render(shown),
        Form::Html => html::render(shown),
    }
}
