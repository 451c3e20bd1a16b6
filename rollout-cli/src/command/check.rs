//! `rollout check`: is an environment ready for what is about to be released into it? Reads only.

use std::path::Path;

use anyhow::{Context as _, bail};
use rollout_core::context::OpContext;
use rollout_core::id::{Generation, RunId, StepId};
use rollout_core::port::Clock;
use rollout_core::readiness::catalogue;
use rollout_core::readiness::check::{About, Scene};
use rollout_core::readiness::fact::Snapshot;
use rollout_core::readiness::gate::Judge;
use rollout_core::readiness::report::{Report, Result as Comes};
use rollout_core::time::Timestamp;

use crate::args::{Check, Global};
use crate::cloud::Cloud;
use crate::config::Config;
use crate::config::diagnostic::nearest;
use crate::config::readiness::Readiness;
use crate::exit::Exit;
use crate::ready::Unnamed;
use crate::state::{State, files};
use crate::view::check::{self, Estimates, Form, Shown};
use crate::view::live::Size;
use crate::view::paint::Paint;
use crate::{draft, intent, ready};

mod declared;
mod kept;

use kept::Kept;

/// How long the facts may take to gather.
const PATIENCE: core::time::Duration = core::time::Duration::from_secs(300);

pub(crate) async fn execute(global: &Global, args: &Check) -> anyhow::Result<Exit> {
    if args.list {
        return list(global, args);
    }
    let mut config = Config::load(&global.config, &global.overlays)?;
    if let Some(file) = &args.readiness {
        config.readiness = Some(file.clone());
    }
    let readiness = ready::load(&config)?;
    if let Some(id) = args.explain.as_deref() {
        known(&readiness, id)?;
    }
    let earlier = args.baseline.as_deref().map(baseline).transpose()?;
    let (judge, facts) = match &args.facts {
        Some(file) => again(file, args, &config, &readiness)?,
        None => look(global, args, &config, &readiness).await?,
    };
    let report = judge.report(&facts);
    let scene = Scene {
        facts: &facts,
        intent: &judge.intent,
    };
    let exit = exit(&report);
    let shown = Shown {
        report: &report,
        earlier: earlier.as_ref(),
        estimate: Some(&Estimates::of(&scene)),
        declared: declared::of(&config, &report.environment),
        exit,
        columns: columns(),
    };
    show(global, args, &shown)?;
    Ok(exit)
}

/// What a report means for a program.
fn exit(report: &Report) -> Exit {
    match report.result() {
        Comes::Ready => Exit::Done,
        Comes::NotReady => Exit::NotReady,
        Comes::Unknown => Exit::Unknown,
    }
}

/// Takes the facts from a file: nothing is asked, neither the cloud nor what runs left behind.
fn again(
    file: &Path,
    args: &Check,
    config: &Config,
    readiness: &Readiness,
) -> anyhow::Result<(Judge, Snapshot)> {
    let mut kept = Kept::read(file, args)?;
    let intent = intent::intent(config, readiness, &kept.environment, kept.release)?;
    let judge = ready::judge(readiness, intent);
    kept.facts.records = judge.records.clone();
    Ok((judge, kept.facts))
}

/// Gathers the facts, and keeps them where that is asked for.
async fn look(
    global: &Global,
    args: &Check,
    config: &Config,
    readiness: &Readiness,
) -> anyhow::Result<(Judge, Snapshot)> {
    let environment = args.env.clone().unwrap_or_else(|| config.promotion.to.clone());
    let wanted = args.release.release.as_deref();
    let before_release = !args.present && environment == config.promotion.to;
    if wanted.is_some() && !before_release {
        bail!(Unnamed(format!(
            "a release goes to {}, not to {environment}",
            config.promotion.to
        )));
    }
    let name = if before_release {
        draft::release(config, wanted)?
    } else {
        "unnamed".to_owned()
    };
    let state = State::open(global).await?;
    let cloud = Cloud::open(global, config, &state.here(), &name, Timestamp::EPOCH).await?;
    let clock = cloud.clock();
    let ctx = context(clock.as_ref())?;
    let release = match before_release {
        true => Some(intent::release(config, &name, cloud.ports().images.as_ref(), &ctx).await?),
        false => None,
    };
    let judge = ready::judge(
        readiness,
        intent::intent(config, readiness, &environment, release)?,
    );
    let source = cloud.facts(global, config, &judge.intent).await?;
    let facts = judge.gather(source.as_ref(), &ctx).await?;
    if let Some(file) = &args.save_facts {
        let kept = Kept {
            environment: judge.intent.environment.clone(),
            release: judge.intent.release.clone(),
            facts: facts.clone(),
        };
        kept.write(file)?;
    }
    Ok((judge, facts))
}

fn context(clock: &dyn Clock) -> anyhow::Result<OpContext> {
    Ok(OpContext {
        run: RunId::new("check")?,
        step: StepId::new("check/readiness")?,
        attempt: 1,
        generation: Generation::default(),
        deadline: clock.now().after(PATIENCE),
        priority: rollout_core::pace::Priority::default(),
    })
}

fn show(global: &Global, args: &Check, shown: &Shown<'_>) -> anyhow::Result<()> {
    let form = match args.format {
        Some(form) => form,
        None if global.json => Form::Json,
        None => Form::Text,
    };
    let paint = if args.output.is_some() {
        Paint::plain()
    } else {
        Paint::for_stdout(global.no_color)
    };
    let explained = args.explain.as_deref().and_then(|id| shown.report.about(id));
    let text = match explained {
        Some(about) if form == Form::Text => {
            check::explain::explain(about, Some(shown.report), shown.columns, paint)
        }
        Some(_) | None => check::render(form, shown, paint),
    };
    match &args.output {
        Some(file) => {
            files::replace(file, text.as_bytes()).with_context(|| format!("cannot write {}", file.display()))
        }
        None => super::write(&text),
    }
}

/// The width to write for: as much as there is where nobody looks.
fn columns() -> usize {
    use std::io::IsTerminal as _;
    if std::io::stdout().is_terminal() {
        Size::of_terminal().columns
    } else {
        usize::MAX
    }
}

/// An earlier report.
fn baseline(file: &Path) -> anyhow::Result<Report> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    check::json::baseline(&text).with_context(|| format!("{} is no baseline", file.display()))
}

/// Whether there is such a check.
fn known(readiness: &Readiness, id: &str) -> anyhow::Result<()> {
    let all = ready::checks(readiness);
    let names = || all.iter().map(|check| check.about().id.as_ref());
    if names().any(|name| name == id) {
        return Ok(());
    }
    let near = nearest(id, names())
        .map(|near| format!(", did you mean `{near}`?"))
        .unwrap_or_default();
    bail!(Unnamed(format!(
        "there is no check `{id}`{near}; `rollout check --list` shows all"
    )));
}

fn list(global: &Global, args: &Check) -> anyhow::Result<Exit> {
    let about: Vec<About> = catalogue::all()
        .iter()
        .map(|check| check.about().clone())
        .collect();
    let text = match args.format {
        Some(Form::Json) => format!("{}\n", serde_json::json!(about)),
        None if global.json => format!("{}\n", serde_json::json!(about)),
        Some(Form::Markdown) => check::page::catalogue_page(&about),
        Some(_) | None => check::list::list(&about, columns(), Paint::for_stdout(global.no_color)),
    };
    super::write(&text)?;
    Ok(Exit::Done)
}
