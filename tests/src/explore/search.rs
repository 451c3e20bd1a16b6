//! The search: every state that can be reached, each once; then what holds of all of them.
//!
//! Two workers take states from one pile, make every move from them and put back what was never seen before. Every move is
//! remembered, so that afterwards the whole graph can be asked: does every state have a way on, does every state reach an end
//! by moves of a fair world alone, can a run go round in circles?

use core::fmt::Write as _;
use core::hash::{BuildHasherDefault, Hasher};
use core::time::Duration;
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// A move from one state to another.
#[derive(Debug)]
pub struct Move<S> {
    /// What happens.
    pub label: &'static str,
    /// Whether it happens in a fair world, too: time, and true answers in time. A fault is never fair.
    pub fair: bool,
    /// Where it leads, or the rule that is broken on the way.
    pub to: Result<S, String>,
}

/// What is searched.
pub trait Model: Sync {
    /// A state: machine, world, calls under way.
    type State: Send;

    /// Where it begins.
    fn initial(&self) -> Vec<Self::State>;

    /// The state's key: states with the same key can do the same.
    fn key(&self, state: &Self::State) -> u128;

    /// Every move from a state that has not ended.
    fn moves(&self, state: &Self::State, out: &mut Vec<Move<Self::State>>);

    /// The name of the end that this state is, if it is one.
    fn end(&self, state: &Self::State) -> Option<Cow<'static, str>>;

    /// The state in words, for a counterexample.
    fn describe(&self, state: &Self::State) -> String;
}

/// In which order states are taken from the pile. Both find the same states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Oldest first: a counterexample is as short as can be.
    Breadth,
    /// Newest first: the pile stays small.
    Depth,
}

/// What a search has found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// States, each counted once.
    pub states: usize,
    /// Moves between them.
    pub moves: usize,
    /// Ends by name, with the number of states.
    pub ends: BTreeMap<Cow<'static, str>, usize>,
    /// Moves by name.
    pub labels: BTreeMap<&'static str, usize>,
    /// Whether no state can be reached from itself: then every run ends, however unfair the world is.
    pub acyclic: bool,
    /// The length of the longest run, where there is one.
    pub longest: usize,
    /// How long it took.
    pub took: Duration,
}

impl Report {
    /// One line for the test's output.
    #[must_use]
    pub fn line(&self, name: &str) -> String {
        let circles = if self.acyclic {
            format!("every run ends, the longest after {} moves", self.longest)
        } else {
            "every run ends in a fair world".to_owned()
        };
        format!(
            "{name}: {} unique states, {} moves, {:.1} s; {circles}; ends {:?}",
            self.states,
            self.moves,
            self.took.as_secs_f64(),
            self.ends
        )
    }
}

/// How a rule is broken: the moves that lead there.
#[derive(Debug)]
pub struct Counterexample {
    /// What is broken.
    pub broken: String,
    /// How it comes to that, for people.
    pub story: String,
}

impl core::fmt::Display for Counterexample {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}\n{}", self.broken, self.story)
    }
}

/// A key is a hash already.
#[derive(Default)]
struct AsIs(u64);

impl Hasher for AsIs {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }
    fn write_u128(&mut self, key: u128) {
        self.0 = key as u64;
    }
}

type Seen = HashMap<u128, u32, BuildHasherDefault<AsIs>>;

const SHARDS: usize = 64;

/// What a worker remembers.
#[derive(Default)]
struct Notes {
    /// From, to, fair.
    edges: Vec<(u32, u32, bool)>,
    /// A new state, whence it was reached, by which move.
    parents: Vec<(u32, u32, u16)>,
    ended: Vec<u32>,
    ends: BTreeMap<Cow<'static, str>, usize>,
    labels: BTreeMap<&'static str, usize>,
    broken: Option<(u32, u16, String)>,
}

struct Pile<S> {
    states: Mutex<VecDeque<(u32, S)>>,
    /// Workers that have a state in hand.
    busy: AtomicUsize,
    stop: AtomicBool,
    next: AtomicU32,
    seen: Vec<Mutex<Seen>>,
}

const NOWHERE: u32 = u32::MAX;

/// A space with more states than this was not meant: its model wants smaller policies.
const MOST: u32 = 6_000_000;

impl<S> Pile<S> {
    /// The number of a state, and whether it is new.
    fn number(&self, key: u128) -> (u32, bool) {
        let shard = (key >> 64) as usize % SHARDS;
        let mut seen = self.seen[shard].lock().unwrap_or_else(PoisonError::into_inner);
        let mut new = false;
        let number = *seen.entry(key).or_insert_with(|| {
            new = true;
            self.next.fetch_add(1, Ordering::Relaxed)
        });
        (number, new)
    }

    fn put(&self, states: &mut Vec<(u32, S)>) {
        let mut pile = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        pile.extend(states.drain(..));
    }

    /// A few states; nothing when there are none at the moment.
    fn take(&self, order: Order) -> Vec<(u32, S)> {
        let mut pile = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        let many = (pile.len() / 4).clamp(1, 32);
        let mut taken = Vec::with_capacity(many);
        for _ in 0..many {
            let one = match order {
                Order::Breadth => pile.pop_front(),
                Order::Depth => pile.pop_back(),
            };
            taken.extend(one);
        }
        if !taken.is_empty() {
            self.busy.fetch_add(1, Ordering::SeqCst);
        }
        taken
    }
}

fn work<M: Model>(model: &M, pile: &Pile<M::State>, order: Order) -> Notes {
    let mut notes = Notes::default();
    let mut moves = Vec::new();
    let mut fresh = Vec::new();
    loop {
        if pile.stop.load(Ordering::Relaxed) {
            return notes;
        }
        let taken = pile.take(order);
        if taken.is_empty() {
            let empty = || {
                pile.states
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .is_empty()
            };
            if pile.busy.load(Ordering::SeqCst) == 0 && empty() {
                return notes;
            }
            std::thread::yield_now();
            continue;
        }
        for (number, state) in taken {
            if let Some(end) = model.end(&state) {
                *notes.ends.entry(end).or_default() += 1;
                notes.ended.push(number);
                continue;
            }
            if number > MOST {
                let broken = format!("more than {MOST} states: {:?}", notes.labels);
                notes.broken.get_or_insert((number, u16::MAX, broken));
                pile.stop.store(true, Ordering::Relaxed);
            }
            model.moves(&state, &mut moves);
            for (index, step) in moves.drain(..).enumerate() {
                *notes.labels.entry(step.label).or_default() += 1;
                let index = u16::try_from(index).expect("few moves");
                match step.to {
                    Ok(to) => {
                        let (found, new) = pile.number(model.key(&to));
                        notes.edges.push((number, found, step.fair));
                        if new {
                            notes.parents.push((found, number, index));
                            fresh.push((found, to));
                        }
                    }
                    Err(broken) => {
                        notes.broken.get_or_insert((number, index, broken));
                        pile.stop.store(true, Ordering::Relaxed);
                    }
                }
            }
            pile.put(&mut fresh);
        }
        pile.busy.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Searches to closure and asks the graph: no dead state, an end within reach of every state in a fair world.
///
/// # Errors
/// How a rule is broken.
pub fn explore<M: Model>(model: &M, order: Order, workers: usize) -> Result<Report, Box<Counterexample>> {
    let began = Instant::now();
    let pile = Pile {
        states: Mutex::new(VecDeque::new()),
        busy: AtomicUsize::new(0),
        stop: AtomicBool::new(false),
        next: AtomicU32::new(0),
        seen: (0..SHARDS).map(|_| Mutex::new(Seen::default())).collect(),
    };
    let mut roots = Vec::new();
    let mut first = Vec::new();
    for (index, state) in model.initial().into_iter().enumerate() {
        let (number, new) = pile.number(model.key(&state));
        if new {
            roots.push((number, u16::try_from(index).expect("few beginnings")));
            first.push((number, state));
        }
    }
    pile.put(&mut first);
    #[expect(
        clippy::needless_collect,
        reason = "every worker is spawned before the first is waited for"
    )]
    let all: Vec<Notes> = std::thread::scope(|scope| {
        let (model, pile) = (&model, &pile);
        let threads: Vec<_> = (0..workers.max(1))
            .map(|_| scope.spawn(move || work(*model, pile, order)))
            .collect();
        threads
            .into_iter()
            .map(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
            .collect()
    });
    let states = pile.next.load(Ordering::Relaxed) as usize;
    drop(pile);
    let mut parents = vec![(NOWHERE, 0_u16); states];
    for &(root, index) in &roots {
        parents[root as usize] = (NOWHERE, index);
    }
    for (child, parent, index) in all.iter().flat_map(|notes| &notes.parents) {
        parents[*child as usize] = (*parent, *index);
    }
    let story = |to: u32, last: Option<u16>| story(model, &parents, to, last);
    if let Some((state, index, broken)) = all.iter().find_map(|notes| notes.broken.clone()) {
        let story = story(state, Some(index));
        return Err(Box::new(Counterexample { broken, story }));
    }
    let graph = Graph::of(states, &all);
    if let Some(dead) = graph.dead() {
        let story = story(dead, None);
        let broken = "a dead state: nothing can happen, and it has not ended".to_owned();
        return Err(Box::new(Counterexample { broken, story }));
    }
    if let Some(lost) = graph.without_fair_end() {
        let story = story(lost, None);
        let broken = "a fair world does not lead to an end from here".to_owned();
        return Err(Box::new(Counterexample { broken, story }));
    }
    let longest = graph.longest();
    let mut report = Report {
        states,
        moves: graph.edges,
        acyclic: longest.is_some(),
        longest: longest.unwrap_or_default(),
        ..Report::default()
    };
    for notes in all {
        for (end, count) in notes.ends {
            *report.ends.entry(end).or_default() += count;
        }
        for (label, count) in notes.labels {
            *report.labels.entry(label).or_default() += count;
        }
    }
    report.took = began.elapsed();
    Ok(report)
}

/// The moves as arrays, so that millions of them fit.
struct Graph {
    states: usize,
    edges: usize,
    /// Where the moves of each state begin in `to`.
    starts: Vec<u32>,
    /// Target and fairness.
    to: Vec<(u32, bool)>,
    ended: Vec<bool>,
}

impl Graph {
    fn of(states: usize, all: &[Notes]) -> Self {
        let edges: usize = all.iter().map(|notes| notes.edges.len()).sum();
        let every = || all.iter().flat_map(|notes| &notes.edges);
        let mut starts = vec![0_u32; states + 1];
        for (from, ..) in every() {
            starts[*from as usize + 1] += 1;
        }
        for index in 0..states {
            starts[index + 1] += starts[index];
        }
        let mut place = starts.clone();
        let mut to = vec![(0, false); edges];
        for (from, target, fair) in every() {
            let next = &mut place[*from as usize];
            to[*next as usize] = (*target, *fair);
            *next += 1;
        }
        let mut ended = vec![false; states];
        for state in all.iter().flat_map(|notes| &notes.ended) {
            ended[*state as usize] = true;
        }
        Self {
            states,
            edges,
            starts,
            to,
            ended,
        }
    }

    fn from(&self, state: usize) -> &[(u32, bool)] {
        &self.to[self.starts[state] as usize..self.starts[state + 1] as usize]
    }

    fn dead(&self) -> Option<u32> {
        let dead = (0..self.states).find(|&state| !self.ended[state] && self.from(state).is_empty());
        dead.map(|state| state as u32)
    }

    /// A state from which no end is within reach by fair moves alone: found backwards from the ends.
    fn without_fair_end(&self) -> Option<u32> {
        let mut starts = vec![0_u32; self.states + 1];
        for (to, _) in self.to.iter().filter(|(_, fair)| *fair) {
            starts[*to as usize + 1] += 1;
        }
        for index in 0..self.states {
            starts[index + 1] += starts[index];
        }
        let mut place = starts.clone();
        let mut back = vec![0_u32; starts[self.states] as usize];
        for from in 0..self.states {
            for (to, _) in self.from(from).iter().filter(|(_, fair)| *fair) {
                let next = &mut place[*to as usize];
                back[*next as usize] = from as u32;
                *next += 1;
            }
        }
        let mut reached = self.ended.clone();
        let mut open: Vec<usize> = (0..self.states).filter(|&state| reached[state]).collect();
        while let Some(state) = open.pop() {
            for &from in &back[starts[state] as usize..starts[state + 1] as usize] {
                if !reached[from as usize] {
                    reached[from as usize] = true;
                    open.push(from as usize);
                }
            }
        }
        reached
            .iter()
            .position(|reached| !reached)
            .map(|state| state as u32)
    }

    /// The length of the longest run; `None` when there are circles.
    fn longest(&self) -> Option<usize> {
        let mut incoming = vec![0_u32; self.states];
        for (to, _) in &self.to {
            incoming[*to as usize] += 1;
        }
        let mut open: Vec<usize> = (0..self.states).filter(|&state| incoming[state] == 0).collect();
        let mut depth = vec![0_usize; self.states];
        let (mut done, mut longest) = (0, 0);
        while let Some(state) = open.pop() {
            done += 1;
            longest = longest.max(depth[state]);
            for (to, _) in self.from(state) {
                let to = *to as usize;
                depth[to] = depth[to].max(depth[state] + 1);
                incoming[to] -= 1;
                if incoming[to] == 0 {
                    open.push(to);
                }
            }
        }
        (done == self.states).then_some(longest)
    }
}

/// Makes the moves again that lead to a state, and tells of each.
fn story<M: Model>(model: &M, parents: &[(u32, u16)], to: u32, last: Option<u16>) -> String {
    let mut path: Vec<u16> = last.into_iter().collect();
    let mut at = to;
    loop {
        let (parent, index) = parents[at as usize];
        path.push(index);
        if parent == NOWHERE {
            break;
        }
        at = parent;
    }
    path.reverse();
    let mut path = path.into_iter();
    let mut text = String::new();
    let Some(root) = path.next() else { return text };
    let Some(mut state) = model.initial().into_iter().nth(root.into()) else {
        return text;
    };
    let _ = writeln!(text, "  0. {}", model.describe(&state));
    for (number, index) in path.enumerate() {
        let mut moves = Vec::new();
        model.moves(&state, &mut moves);
        let Some(step) = moves.into_iter().nth(index.into()) else {
            break;
        };
        let _ = writeln!(text, "{:3}. {}", number + 1, step.label);
        match step.to {
            Ok(next) => {
                let _ = writeln!(text, "       {}", model.describe(&next));
                state = next;
            }
            Err(broken) => {
                let _ = writeln!(text, "       {broken}");
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts down from a few numbers; a fault jumps back up, and 13 breaks the rule if it is there.
    struct Down {
        from: u32,
        jump: Option<u32>,
        stuck_at: Option<u32>,
    }

    impl Model for Down {
        type State = u32;
        fn initial(&self) -> Vec<u32> {
            vec![self.from]
        }
        fn key(&self, state: &u32) -> u128 {
            u128::from(*state) << 70 | u128::from(*state)
        }
        fn moves(&self, state: &u32, out: &mut Vec<Move<u32>>) {
            if self.stuck_at == Some(*state) {
                return;
            }
            let to = if *state == 13 {
                Err("13".to_owned())
            } else {
                Ok(state - 1)
            };
            out.push(Move {
                label: "down",
                fair: true,
                to,
            });
            out.extend(self.jump.map(|jump| Move {
                label: "jump",
                fair: false,
                to: Ok(jump),
            }));
        }
        fn end(&self, state: &u32) -> Option<Cow<'static, str>> {
            (*state == 0).then_some("zero".into())
        }
        fn describe(&self, state: &u32) -> String {
            state.to_string()
        }
    }

    #[test]
    fn it_counts_each_state_once_and_knows_circles() {
        let straight = Down {
            from: 9,
            jump: None,
            stuck_at: None,
        };
        let report = explore(&straight, Order::Breadth, 2).expect("nothing breaks");
        assert_eq!((report.states, report.acyclic, report.longest), (10, true, 9));
        let circles = Down {
            from: 9,
            jump: Some(5),
            stuck_at: None,
        };
        let report = explore(&circles, Order::Depth, 2).expect("nothing breaks");
        assert_eq!((report.states, report.acyclic), (10, false));
    }

    #[test]
    fn it_finds_what_breaks_and_what_is_dead() {
        let breaks = Down {
            from: 15,
            jump: None,
            stuck_at: None,
        };
        let found = explore(&breaks, Order::Breadth, 1).expect_err("13 breaks");
        assert_eq!(found.broken, "13");
        assert!(found.story.contains("  2. down"), "{}", found.story);
        let dead = Down {
            from: 9,
            jump: None,
            stuck_at: Some(4),
        };
        let found = explore(&dead, Order::Breadth, 1).expect_err("4 is dead");
        assert!(found.broken.contains("dead"), "{}", found.broken);
    }

    /// A small graph by hand: from, to, fair; `9` is the end, and reaching `7` breaks the rule.
    struct Drawn(&'static [(u32, u32, bool)]);

    impl Model for Drawn {
        type State = u32;
        fn initial(&self) -> Vec<u32> {
            vec![0]
        }
        fn key(&self, state: &u32) -> u128 {
            u128::from(*state)
        }
        fn moves(&self, state: &u32, out: &mut Vec<Move<u32>>) {
            for &(_, to, fair) in self.0.iter().filter(|(from, ..)| from == state) {
                let to = if to == 7 { Err("seven".to_owned()) } else { Ok(to) };
                let label = if fair { "fair" } else { "fault" };
                out.push(Move { label, fair, to });
            }
        }
        fn end(&self, state: &u32) -> Option<Cow<'static, str>> {
            (*state == 9).then_some("nine".into())
        }
        fn describe(&self, state: &u32) -> String {
            format!("state {state}")
        }
    }

    #[test]
    fn the_path_to_what_breaks_is_as_short_as_can_be() {
        let two_ways = Drawn(&[
            (0, 1, true),
            (1, 2, true),
            (2, 3, true),
            (3, 7, true),
            (0, 4, false),
            (4, 7, false),
        ]);
        let found = explore(&two_ways, Order::Breadth, 1).expect_err("7 breaks");
        assert_eq!(
            found.story,
            "  0. state 0\n  1. fault\n       state 4\n  2. fault\n       seven\n"
        );
    }

    #[test]
    fn an_end_that_only_a_fault_leads_to_is_no_end_in_a_fair_world() {
        let only_by_fault = Drawn(&[(0, 1, true), (1, 0, true), (1, 9, false)]);
        let found = explore(&only_by_fault, Order::Breadth, 2).expect_err("round for ever");
        assert!(found.broken.contains("fair world"), "{}", found.broken);
        let fair = Drawn(&[(0, 1, true), (1, 0, true), (1, 9, true)]);
        let report = explore(&fair, Order::Breadth, 2).expect("an end is in reach");
        assert_eq!((report.states, report.moves, report.acyclic), (3, 3, false));
    }

    #[test]
    fn ends_and_moves_that_are_not_reached_are_not_reported() {
        let diamond = Drawn(&[
            (0, 1, true),
            (0, 2, false),
            (1, 9, true),
            (2, 9, true),
            (5, 9, true),
        ]);
        for order in [Order::Breadth, Order::Depth] {
            let report = explore(&diamond, order, 2).expect("nothing breaks");
            assert_eq!((report.states, report.moves, report.longest), (4, 4, 2));
            assert_eq!(report.ends, BTreeMap::from([("nine".into(), 1)]));
            assert_eq!(report.labels, BTreeMap::from([("fair", 3), ("fault", 1)]));
        }
        let nowhere = Drawn(&[(0, 1, true), (1, 0, true)]);
        assert!(explore(&nowhere, Order::Depth, 2).is_err(), "no end at all");
    }
}
