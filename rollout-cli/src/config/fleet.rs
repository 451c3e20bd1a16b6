//! `fleet.toml`: the waves, their gates, and for each member the files that its own release is made of.

use core::time::Duration;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rollout_core::id::{GroupName, MemberName, WaveName};
use rollout_core::plan::fleet::{FleetBounds, FleetPolicy, Share, UnderWay, WavePlan, WayBack};

use super::diagnostic::{Invalid, suggest};
use super::environment::filled;
use super::reader::{At, Reader, Value};
use super::{Config, Gate, gate};

/// How long a whole member may take, unless the file says otherwise.
const RUN: Duration = Duration::from_secs(4 * 3_600);
/// How long it may take to stop, or to go back.
const BACK: Duration = Duration::from_secs(2 * 3_600);

/// What the file says.
#[derive(Clone, Debug)]
pub(crate) struct Fleet {
    /// What is released together; with it goes the lease.
    pub(crate) name: GroupName,
    pub(crate) release: Option<String>,
    pub(crate) policy: FleetPolicy,
    /// The waves, without their gates.
    pub(crate) waves: Vec<WavePlan>,
    pub(crate) gates: BTreeMap<WaveName, WaveGate>,
    pub(crate) members: BTreeMap<MemberName, Member>,
}

/// What must hold before the next wave, and whose cloud is asked.
#[derive(Clone, Debug)]
pub(crate) struct WaveGate {
    pub(crate) gate: Gate,
    pub(crate) member: MemberName,
}

/// What one member's release is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) config: PathBuf,
    pub(crate) overlays: Vec<PathBuf>,
}

impl Member {
    /// # Errors
    /// Everything that is wrong with its files.
    pub(crate) fn load(&self) -> Result<Config, Invalid> {
        Config::load(&self.config, &self.overlays)
    }
}

impl Fleet {
    /// Reads the file. Those of its members are read by whoever needs them.
    ///
    /// # Errors
    /// [`Invalid`] with everything that is wrong, not only the first fault.
    pub(crate) fn load(file: &Path) -> Result<Self, Invalid> {
        let help = "name it with `--fleet FILE`, or start in the directory that holds fleet.toml";
        super::one_file(file, help, |reader| read(reader, file))
    }
}

fn read(reader: &Reader<'_>, file: &Path) -> Option<Fleet> {
    let beside = file.parent().unwrap_or_else(|| Path::new(""));
    let name = match reader.value("name") {
        Some(value) => value.parse::<GroupName>().map(|name| name.value),
        None => GroupName::new("fleet").ok(),
    };
    let release = reader
        .value("release")
        .and_then(|v| v.parse::<rollout_core::id::ImageTag>());
    let policy = reader.value("policy").and_then(|v| v.table("[policy]"));
    let policy = policy.map_or_else(default_policy, |table| read_policy(&table));
    let (members, known) = members(reader, beside);
    let (mut waves, mut gates, mut led) = (Vec::new(), BTreeMap::new(), Vec::new());
    let tables = reader.tables("waves", "[[waves]]");
    if tables.is_empty() {
        let fault = reader.sink.at(&reader.span, "the fleet has no wave");
        reader
            .sink
            .push(fault.help("add a `[[waves]]` with its `name` and its `members`"));
    }
    for table in &tables {
        let Some((wave, gate)) = wave(table, &known, &mut led) else {
            continue;
        };
        if let Some(gate) = gate {
            gates.insert(wave.name.clone(), gate);
        }
        waves.push(wave);
    }
    for member in known.iter().filter(|name| !led.contains(&name.value)) {
        let what = format!(
            "no wave names the member {}: it would never be released",
            member.value
        );
        let fault = reader.sink.at(&member.span, what);
        reader.sink.push(fault.help("name it in a wave, or take it out"));
    }
    Some(Fleet {
        name: name?,
        release: release.map(|tag| tag.value.to_string()),
        policy,
        waves,
        gates,
        members,
    })
}

/// The members with their files, and where each is named.
fn members(reader: &Reader<'_>, beside: &Path) -> (BTreeMap<MemberName, Member>, Vec<At<MemberName>>) {
    let (mut all, mut known) = (BTreeMap::new(), Vec::new());
    let table = reader
        .required("members", "{ … }` as tables `[members.eu-1]` and `[members.eu-2]")
        .and_then(|v| v.table("[members.…]"));
    for (key, value) in table.iter().flat_map(Reader::entries) {
        let name = match MemberName::new(&key.value) {
            Ok(name) => name,
            Err(error) => {
                reader.sink.push(reader.sink.at(&key.span, error.to_string()));
                continue;
            }
        };
        known.push(At {
            value: name.clone(),
            span: key.span,
        });
        if let Some(table) = value.table(&format!("[members.{name}]")) {
            all.insert(name, member(&table, beside));
        }
    }
    (all, known)
}

fn member(reader: &Reader<'_>, beside: &Path) -> Member {
    const FILE: &str = "a path from the directory of fleet.toml";
    let config = reader.value("config").and_then(|v| filled(&v, FILE));
    let overlays = reader.value("overlays").map(|v| v.array()).unwrap_or_default();
    reader.finish();
    Member {
        config: beside.join(config.unwrap_or_else(|| "rollout.toml".to_owned())),
        overlays: overlays
            .iter()
            .filter_map(|v| filled(v, FILE))
            .map(|path| beside.join(path))
            .collect(),
    }
}

/// A wave with its gate. Its members are `led`, also where something else of it is wrong.
fn wave(
    reader: &Reader<'_>,
    known: &[At<MemberName>],
    led: &mut Vec<MemberName>,
) -> Option<(WavePlan, Option<WaveGate>)> {
    let name = reader
        .required("name", "\"canary\"")
        .and_then(|v| v.parse::<WaveName>());
    let members = reader
        .required("members", "[\"eu-1\"]")
        .map(|v| v.list::<MemberName>())
        .unwrap_or_default();
    for member in &members {
        is_known(reader, member, known);
        led.push(member.value.clone());
    }
    let at_once = reader.number("at_once", 1);
    let bake = reader.duration("bake", Duration::ZERO);
    let first = members.first().map(|member| member.value.clone());
    let gate = reader
        .value("gate")
        .and_then(|v| v.table("[waves.gate]"))
        .and_then(|table| wave_gate(&table, first, known));
    reader.finish();
    let wave = WavePlan {
        name: name?.value,
        members: members.into_iter().map(|member| member.value).collect(),
        at_once,
        bake,
        gate: None,
    };
    Some((wave, gate))
}

/// Unless the file says otherwise, the cloud of the wave's first member is asked.
fn wave_gate(reader: &Reader<'_>, first: Option<MemberName>, known: &[At<MemberName>]) -> Option<WaveGate> {
    let member = match reader.value("member") {
        Some(value) => value.parse::<MemberName>().map(|member| {
            is_known(reader, &member, known);
            member.value
        }),
        None => first,
    };
    let gate = gate::read(reader, "[[waves.gate.probes]]", Some("gate"));
    Some(WaveGate {
        gate: gate?,
        member: member?,
    })
}

fn is_known(reader: &Reader<'_>, member: &At<MemberName>, known: &[At<MemberName>]) {
    if known.iter().any(|name| name.value == member.value) {
        return;
    }
    let what = format!("there is no [members.{}]", member.value);
    let names = known.iter().map(|name| name.value.as_str());
    let fault = reader.sink.at(&member.span, what);
    reader
        .sink
        .push(fault.help_maybe(suggest(member.value.as_str(), names)));
}

fn default_policy() -> FleetPolicy {
    FleetPolicy {
        bounds: FleetBounds {
            in_the_air: None,
            unbaked: None,
        },
        under_way: UnderWay::default(),
        back: WayBack::default(),
        back_at_once: 5,
        run_within: RUN,
        stop_within: BACK,
        back_within: BACK,
        retry_every: Duration::from_secs(5),
        max_errors: 5,
    }
}

fn read_policy(reader: &Reader<'_>) -> FleetPolicy {
    let under_way = [("stop", UnderWay::Stop), ("finish", UnderWay::Finish)];
    let back = [
        ("fleet", WayBack::Fleet),
        ("wave", WayBack::Wave),
        ("member", WayBack::Member),
    ];
    let usual = default_policy();
    let policy = FleetPolicy {
        bounds: FleetBounds {
            in_the_air: reader.value("in_the_air").and_then(|v| share(&v)),
            unbaked: reader.value("unbaked").and_then(|v| share(&v)),
        },
        under_way: reader
            .value("under_way")
            .and_then(|v| v.word(&under_way))
            .unwrap_or_default(),
        back: reader
            .value("back")
            .and_then(|v| v.word(&back))
            .unwrap_or_default(),
        back_at_once: reader.number("back_at_once", usual.back_at_once),
        run_within: reader.duration("run_within", usual.run_within),
        stop_within: reader.duration("stop_within", usual.stop_within),
        back_within: reader.duration("back_within", usual.back_within),
        ..usual
    };
    reader.finish();
    policy
}

/// `5`, or `"10%"`.
fn share(value: &Value<'_>) -> Option<Share> {
    if !value.is_text() {
        return value.number().map(Share::Members);
    }
    let text = value.text()?.value;
    let percent = text
        .strip_suffix('%')
        .and_then(|number| number.trim().parse().ok());
    if percent.is_none() {
        value.wrong(
            format!("`{}`: `{text}` is no share of a fleet", value.key),
            "write a number of members, or a share such as \"10%\"",
        );
    }
    percent.map(Share::Percent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::diagnostic::Source;

    fn fleet(text: &str) -> Result<Fleet, String> {
        let file = Path::new("cells/fleet.toml");
        let read = |reader: &Reader<'_>| read(reader, file);
        crate::config::one_text(&Source::new(file, text), read).map_err(|faults| faults.to_string())
    }

    const ONE: &str = "[members.a]\n[[waves]]\nname = \"one\"\nmembers = [\"a\"]\n";

    #[test]
    fn what_is_left_out_is_careful() {
        let read = fleet(ONE).expect("well formed");
        assert_eq!(read.name.as_str(), "fleet");
        assert_eq!(
            (read.policy.under_way, read.policy.back),
            (UnderWay::Stop, WayBack::Fleet)
        );
        let wave = read.waves.first().expect("one");
        assert_eq!((wave.at_once, wave.bake), (1, Duration::ZERO));
        let member = read.members.values().next().expect("one");
        assert_eq!(member.config, Path::new("cells/rollout.toml"));
    }

    #[test]
    fn a_bound_is_a_number_or_a_share() {
        let bound = |text: &str| fleet(&format!("policy.unbaked = {text}\n{ONE}"));
        let share = |text: &str| bound(text).expect(text).policy.bounds.unbaked.expect("given");
        assert_eq!(share("7"), Share::Members(7));
        assert_eq!(share("\"10%\""), Share::Percent(10));
        for bad in ["\"ten\"", "\"300%\""] {
            let error = bound(bad).expect_err(bad);
            assert!(error.contains("a share such as \"10%\""), "{error}");
        }
        for bad in ["-1", "1.5"] {
            bound(bad).expect_err(bad);
        }
    }

    #[test]
    fn a_gate_asks_the_first_member_of_its_wave_unless_it_names_another() {
        let probe = "[[waves.gate.probes]]\nname = \"errors\"\nalarms = [\"shop-5xx\"]\n";
        let gate = |more: &str| {
            fleet(&format!(
                "[members.b]\n{ONE}{more}{probe}[[waves]]\nname = \"two\"\nmembers = [\"b\"]"
            ))
        };
        for (more, asked) in [("", "a"), ("[waves.gate]\nmember = \"b\"\n", "b")] {
            let read = gate(more).expect("well formed");
            let gate = read.gates.values().next().expect("it has one");
            assert_eq!((gate.member.as_str(), gate.gate.name.as_str()), (asked, "gate"));
            assert_eq!(gate.gate.probes.len(), 1);
        }
        let error = gate("[waves.gate]\nmember = \"c\"\n").expect_err("no such member");
        assert!(error.contains("there is no [members.c]"), "{error}");
        let error = fleet(&ONE.replace("name", "nme")).expect_err("no such key");
        assert!(!error.contains("no wave names"), "{error}");
        let error = fleet(&format!("{ONE}gate = {{}}")).expect_err("it looks at nothing");
        assert!(error.contains("[[waves.gate.probes]]"), "{error}");
    }

    #[test]
    fn everything_that_is_wrong_is_told_with_its_line() {
        let text = "releas = \"2\"\n[members.a]\nconfg = \"x\"\n[members.b]\n[[waves]]\nname = \"one\"\nmembers = [\"aa\"]\nbake = \"soon\"";
        let error = fleet(text).expect_err("five mistakes");
        for told in [
            "did you mean `release`",
            "did you mean `config`",
            "no wave names the member b",
            "there is no [members.aa]",
            "fleet.toml:8",
        ] {
            assert!(error.contains(told), "{told}: {error}");
        }
    }
}
