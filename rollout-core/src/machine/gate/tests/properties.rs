//! What holds of any script of answers.

use proptest::prelude::*;

use super::*;

/// What a source answers in a random script.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Say {
    Pass,
    Fail,
    Unknown,
    /// A pass of the old version.
    OldImages,
    /// A pass of so many seconds ago.
    Stale(u64),
    Error,
    Denied,
    Silence,
}

fn say() -> impl Strategy<Value = Say> {
    prop_oneof![
        20 => Just(Say::Pass),
        3 => Just(Say::Fail),
        2 => Just(Say::Unknown),
        1 => Just(Say::OldImages),
        4 => (0..60_u64).prop_map(Say::Stale),
        2 => Just(Say::Error),
        1 => Just(Say::Silence),
    ]
}

#[derive(Clone, Debug)]
struct Script {
    spec: Spec,
    /// What each probe's source says, in turn; afterwards it passes.
    says: BTreeMap<ProbeName, Vec<(Say, u64)>>,
}

fn any_condition() -> impl Strategy<Value = Condition> {
    let all = || vec![leaf("a"), leaf("b"), leaf("c")];
    prop_oneof![
        Just(Condition::All(all())),
        Just(Condition::Any(all())),
        (1..=3_u32).prop_map(move |count| Condition::AtLeast { count, of: all() }),
        Just(Condition::All(vec![
            leaf("a"),
            Condition::Any(vec![leaf("b"), leaf("c")])
        ])),
        Just(Condition::Any(vec![
            leaf("a"),
            Condition::All(vec![leaf("b"), leaf("c")])
        ])),
    ]
}

fn any_probe(text: &'static str) -> impl Strategy<Value = ProbeSpec> {
    (
        5..15_u64,
        1..4_u32,
        0..3_u32,
        0..3_u32,
        15..40_u64,
        prop::bool::weighted(0.2),
    )
        .prop_map(
            move |(every, successes, failures, errors, max_age, dry_run)| ProbeSpec {
                every: secs(every),
                successes,
                failures,
                errors,
                max_age: secs(max_age),
                dry_run,
                ..probe(text)
            },
        )
}

fn script() -> impl Strategy<Value = Script> {
    let says = || prop::collection::vec((say(), 0..6_000_u64), 0..12);
    (
        any_condition(),
        (any_probe("a"), any_probe("b"), any_probe("c")),
        0..40_u64,
        (says(), says(), says()),
    )
        .prop_map(|(condition, (a, b, c), bake, (x, y, z))| Script {
            spec: Spec {
                bake: secs(bake),
                ..spec(condition, vec![a, b, c])
            },
            says: BTreeMap::from([(name("a"), x), (name("b"), y), (name("c"), z)]),
        })
}

fn event_of(of: &ProbeName, say: Say, now: Timestamp) -> Option<Event> {
    let text = of.as_str();
    Some(match say {
        Say::Pass => sample(text, now, Verdict::Pass),
        Say::Fail => sample(text, now, Verdict::Fail),
        Say::Unknown => sample(text, now, Verdict::Unknown),
        Say::OldImages => {
            let mut event = sample(text, now, Verdict::Pass);
            if let Event::Sampled { sample, .. } = &mut event {
                sample.images = Some(images("old"));
            }
            event
        }
        Say::Stale(by) => {
            let then = Timestamp::from_millis(now.as_millis() - by * 1_000);
            sample(text, then, Verdict::Pass)
        }
        Say::Error => failed(text, ErrorKind::Unavailable),
        Say::Denied => failed(text, ErrorKind::PermissionDenied),
        Say::Silence => return None,
    })
}

impl Script {
    /// Runs it. The passes of `stripped` become unknown.
    fn run(&self, stripped: Option<&ProbeName>) -> Walk<Gate> {
        drive(&self.spec, &|of, nth, now| {
            let (mut say, delay) = self.says[of].get(nth).copied().unwrap_or((Say::Pass, 300));
            if stripped == Some(of) && matches!(say, Say::Pass | Say::Stale(_)) {
                say = Say::Unknown;
            }
            event_of(of, say, now).map(|event| (Duration::from_millis(delay), event))
        })
    }

    /// Whether the condition is true when exactly these live probes hold; written apart from the machine's own rule.
    fn is_true(&self, condition: &Condition, holds: &dyn Fn(&ProbeSpec) -> bool) -> Option<bool> {
        let list = |parts: &[Condition]| -> Vec<bool> {
            parts
                .iter()
                .filter_map(|part| self.is_true(part, holds))
                .collect()
        };
        let truths = match condition {
            Condition::Probe(of) => {
                let spec = self.spec.probes.iter().find(|p| &p.name == of).unwrap();
                return (!spec.dry_run).then(|| holds(spec));
            }
            Condition::All(parts) | Condition::Any(parts) | Condition::AtLeast { of: parts, .. } => {
                list(parts)
            }
        };
        if truths.is_empty() {
            return None;
        }
        let yes = truths.iter().filter(|truth| **truth).count();
        Some(match condition {
            Condition::All(_) | Condition::Probe(_) => yes == truths.len(),
            Condition::Any(_) => yes > 0,
            Condition::AtLeast { count, .. } => yes >= (*count as usize).min(truths.len()),
        })
    }

    /// Whether a probe's own log, read backwards, ends with enough different passes that may count, and whether it
    /// has failed too often for ever.
    fn supported(&self, log: &[(Timestamp, Event, Vec<Effect>)], spec: &ProbeSpec) -> bool {
        let subject = &self.spec.subject;
        let counts = |now: Timestamp, sample: &Sample| {
            sample.at >= subject.changed_at
                && sample.at <= now
                && now.since(sample.at) <= spec.max_age
                && sample.images.as_ref().is_none_or(|seen| seen == &subject.images)
        };
        let mut failures = BTreeSet::new();
        let mut run = Some(BTreeSet::new());
        let mut passes = BTreeSet::new();
        for (now, event, _) in log.iter().rev() {
            match event {
                Event::Sampled { probe, sample } if probe == &spec.name => {
                    let good = counts(*now, sample);
                    if good && sample.verdict == Verdict::Fail {
                        failures.insert(sample.at);
                    }
                    if good && sample.verdict == Verdict::Pass {
                        if let Some(run) = &mut run {
                            run.insert(sample.at);
                        }
                    } else if let Some(ended) = run.take() {
                        passes = ended;
                    }
                }
                Event::SampleFailed { probe, .. } if probe == &spec.name => {
                    if let Some(ended) = run.take() {
                        passes = ended;
                    }
                }
                Event::Sampled { .. }
                | Event::SampleFailed { .. }
                | Event::Start
                | Event::Elapsed
                | Event::Abort => {}
            }
        }
        let passes = run.unwrap_or(passes);
        passes.len() >= spec.successes as usize && failures.len() <= spec.failures as usize
    }

    fn supported_condition(&self, log: &[(Timestamp, Event, Vec<Effect>)]) -> bool {
        self.is_true(&self.spec.condition, &|probe| self.supported(log, probe))
            .unwrap_or(true)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    /// I-7, I-8: a pass rests on enough consecutive countable passes of every probe that it needs, through the whole
    /// bake, none of them failed; L-1: it always ends, no later than its deadline.
    #[test]
    fn a_pass_rests_on_evidence(script in script()) {
        let walk = script.run(None);
        let end = ended_at(&walk);
        prop_assert!(end <= at(10).after(script.spec.give_up));
        if passed(&walk) {
            let log = &walk.steps;
            prop_assert!(script.supported_condition(log), "passed without evidence");
            let begun = log.iter().rposition(|(now, _, _)| end.since(*now) >= script.spec.bake);
            for upto in begun.unwrap()..log.len() {
                // Events of the moment at which the bake began come one by one: judge after the last of them.
                let last_of_moment = log.get(upto + 1).is_none_or(|next| next.0 > log[upto].0);
                prop_assert!(!last_of_moment || script.supported_condition(&log[..=upto]), "the bake had a hole");
            }
            for probe in script.spec.probes.iter().filter(|probe| !probe.dry_run) {
                let alone = script.is_true(&script.spec.condition, &|p| p.name != probe.name);
                if alone == Some(false) {
                    let tally = Outcome::clone(&outcome(&walk));
                    let Outcome::Passed { evidence, .. } = tally else { unreachable!() };
                    let newest = evidence.iter().filter(|e| e.subject == probe.name.as_str()).map(|e| e.at).max();
                    prop_assert!(newest.is_some_and(|at| end.since(at) <= probe.max_age), "old evidence");
                }
            }
        }
    }

    /// I-7: take away the evidence of any one probe that the condition cannot do without, and the pass disappears.
    #[test]
    fn stripping_any_needed_evidence_removes_the_pass(script in script()) {
        for probe in &script.spec.probes {
            let without = script.is_true(&script.spec.condition, &|other| other.name != probe.name);
            if !probe.dry_run && without == Some(false) {
                prop_assert!(!passed(&script.run(Some(&probe.name))), "passed without {}", probe.name);
            }
        }
    }

    /// Dry-run probes change nothing but the report.
    #[test]
    fn dry_run_probes_change_nothing(script in script(), other in prop::collection::vec((say(), 0..6_000_u64), 0..12)) {
        let mut changed = script.clone();
        for probe in script.spec.probes.iter().filter(|probe| probe.dry_run) {
            changed.says.insert(probe.name.clone(), other.clone());
        }
        let (one, two) = (script.run(None), changed.run(None));
        prop_assert_eq!(passed(&one), passed(&two));
        prop_assert_eq!(ended_at(&one), ended_at(&two));
    }

    /// Any event in any order at any time, the clock going back too: every rule of the walk, and I-14.
    #[test]
    fn survives_any_order(
        script in script(),
        events in prop::collection::vec((0..20_000_u64, 0..12_u8, say(), 0..4_usize), 0..60),
    ) {
        let fresh = Gate::new(script.spec);
        let mut walk = Walk::new(fresh.clone());
        let mut now = at(10);
        walk.give(now, Event::Start).unwrap();
        for (step, what, say, who) in events {
            now = Timestamp::from_millis((now.as_millis() + step).saturating_sub(2_000));
            let of = name(["a", "b", "c", "nobody"][who]);
            let event = match what {
                0 => Some(Event::Start),
                1 => event_of(&of, Say::Denied, now),
                2 if step % 50 == 0 => Some(Event::Abort),
                2..=6 => {
                    now = now.max(walk.machine.deadline().map_or(now, |deadline| deadline.at));
                    Some(Event::Elapsed)
                }
                _ => event_of(&of, say, now),
            };
            if let Some(event) = event {
                let _ = walk.give(now, event);
            }
        }
        walk.check_replay(&fresh);
    }

    /// An `Elapsed` before the deadline changes nothing but the latest moment seen.
    #[test]
    fn an_early_elapsed_changes_nothing(script in script(), part in 0.0..1.0_f64) {
        let steps = script.run(None).steps;
        let mut gate = Gate::new(script.spec);
        for (now, event, _) in steps {
            gate.handle(now, event).unwrap();
            if let Some(deadline) = gate.deadline().filter(|deadline| deadline.at > now) {
                let between = now.after(deadline.at.since(now).mul_f64(part));
                let mut early = gate.clone();
                if between < deadline.at {
                    prop_assert_eq!(early.handle(between, Event::Elapsed).unwrap(), []);
                    prop_assert_eq!(early.state, gate.state.clone());
                }
            }
        }
    }
}
