//! Two runners want a lease at the same moment: every order in which their calls can reach the store, with every call lost on
//! its way or on its way back, up to so many times.

use std::collections::BTreeSet;

use super::*;

/// What one runner is about to have happen.
#[derive(Clone, Debug)]
struct Runner {
    machine: Lease,
    said: Option<Effect>,
}

#[derive(Clone, Debug)]
struct World {
    runners: [Runner; 2],
    store: Store,
    lost: u32,
    now: u64,
}

/// How a call goes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Goes {
    Well,
    /// It takes effect, and no answer comes.
    Answerless,
    /// It never arrives, and no answer comes.
    Nowhere,
}

impl World {
    fn new(lost: u32) -> Self {
        let runner = |who| {
            let mut machine = patient(who, 0);
            let said = machine.handle(T0, Event::Start).unwrap().pop();
            Runner { machine, said }
        };
        Self {
            runners: [runner("a"), runner("b")],
            store: Store::default(),
            lost,
            now: 0,
        }
    }

    fn give(&mut self, runner: usize, event: Event) {
        let runner = &mut self.runners[runner];
        runner.said = runner
            .machine
            .handle(at(self.now), event)
            .expect("accepted")
            .pop();
    }

    /// Runs the call of one runner; if nothing comes back, it waits for its deadline and the next call.
    fn step(mut self, runner: usize, goes: Goes) -> Self {
        let effect = self.runners[runner].said.take().expect("a call");
        let answer = (goes != Goes::Nowhere).then(|| self.store.run(&effect));
        match answer {
            Some(answer) if goes == Goes::Well => self.give(runner, answer),
            _ => {
                self.lost -= 1;
                self.now += 10;
                self.give(runner, Event::Elapsed);
            }
        }
        while self.runners[runner].said.is_none()
            && self.runners[runner].machine.outcome().is_none()
            && self.runners[runner].machine.held().is_none()
        {
            let deadline = self.runners[runner].machine.deadline().expect("it waits");
            self.now = self.now.max(deadline.at.since(T0).as_secs());
            self.give(runner, Event::Elapsed);
        }
        self
    }

    fn is_done(&self) -> bool {
        self.runners.iter().all(|runner| runner.said.is_none())
    }
}

/// Everything that can follow; answers with the ends.
fn ends(world: World, ends: &mut BTreeSet<String>, seen: &mut u64) {
    *seen += 1;
    let holders: Vec<&Runner> = world
        .runners
        .iter()
        .filter(|r| r.machine.held().is_some())
        .collect();
    assert!(holders.len() <= 1, "two hold it: {world:#?}");
    if world.is_done() {
        let [holder] = holders[..] else {
            panic!("nobody holds it: {world:#?}")
        };
        assert_eq!(holder.machine.held().unwrap().generation(), Generation(1));
        let name = |runner: &Runner| match runner.machine.outcome() {
            None => "holds it",
            Some(Outcome::Refused { by }) => {
                assert_eq!(by.holder.unwrap().session, holder.machine.claim().session);
                "is told who has it"
            }
            Some(other) => panic!("{other:?}"),
        };
        ends.insert(format!(
            "a {}, b {}",
            name(&world.runners[0]),
            name(&world.runners[1])
        ));
        return;
    }
    for runner in 0..2 {
        if world.runners[runner].said.is_none() {
            continue;
        }
        for goes in [Goes::Well, Goes::Answerless, Goes::Nowhere] {
            if goes == Goes::Well || world.lost > 0 {
                self::ends(world.clone().step(runner, goes), ends, seen);
            }
        }
    }
}

#[test]
fn of_two_that_race_exactly_one_wins_whatever_the_order() {
    let (mut found, mut seen) = (BTreeSet::new(), 0);
    ends(World::new(3), &mut found, &mut seen);
    let wanted = [
        "a holds it, b is told who has it",
        "a is told who has it, b holds it",
    ];
    assert_eq!(found.iter().map(String::as_str).collect::<Vec<_>>(), wanted);
    assert!(seen > 1_000, "only {seen} states");
}
