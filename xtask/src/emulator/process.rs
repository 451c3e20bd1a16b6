//! Processes that outlive xtask: started with a clean environment, known again by identity, ended with patience.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

/// Variables of the caller that a server may see. Anything else could change how it behaves.
const INHERITED: [&str; 8] = [
    "PATH",
    "HOME",
    "USER",
    "TMPDIR",
    "LANG",
    "LC_ALL",
    "SYSTEMROOT",
    "TZ",
];

/// How long a server has between SIGTERM and SIGKILL.
const TERM: Duration = Duration::from_secs(10);
/// How long the system has to remove a killed process.
const KILL: Duration = Duration::from_secs(5);

/// One server to start.
#[derive(Debug)]
pub(crate) struct Spec {
    /// What it is within its instance, and the name of its log file.
    pub(crate) role: &'static str,
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<String>,
    pub(crate) env: Vec<(&'static str, String)>,
    pub(crate) port: u16,
    /// Answers 200 when it is ready.
    pub(crate) health: &'static str,
    pub(crate) deadline: Duration,
}

/// A process that was started, as the record of its instance keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Running {
    pub(crate) role: String,
    pub(crate) pid: u32,
    /// When it started, as the system tells it: with the pid, its identity.
    pub(crate) started: String,
    /// Its program and arguments, which its command line shows.
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<String>,
    pub(crate) port: u16,
    pub(crate) health: String,
    /// Whether it leads a process group of its own.
    pub(crate) group: bool,
}

/// What a look at a process told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    /// It has ended.
    Gone,
    /// It lives and does not answer.
    Silent,
    /// It lives and answers.
    Healthy,
}

/// Waits a moment. The only sleep of xtask: it waits for other processes, whose time is no port.
#[expect(clippy::disallowed_methods, reason = "waits for another process")]
pub(crate) fn pause(time: Duration) {
    thread::sleep(time);
}

/// Starts a server. Its output goes to `<role>.log` in the folder, which is also its working folder.
pub(crate) fn spawn(spec: &Spec, folder: &Path, group: bool) -> Result<(Child, Running)> {
    let log = folder.join(format!("{}.log", spec.role));
    let out = File::create(&log).with_context(|| format!("{} cannot be written", log.display()))?;
    let err = out
        .try_clone()
        .with_context(|| format!("{} cannot be written", log.display()))?;
    let mut command = Command::new(&spec.program);
    command.args(&spec.args).current_dir(folder).env_clear();
    command.envs(std::env::vars_os().filter(|(key, _)| {
        key.to_str()
            .is_some_and(|key| INHERITED.contains(&key) || key.starts_with("SIM_"))
    }));
    command
        .env("PYTHONUNBUFFERED", "1")
        .envs(spec.env.iter().map(|(k, v)| (k, v)));
    command.stdin(Stdio::null()).stdout(out).stderr(err);
    #[cfg(unix)]
    if group {
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
    }
    let child = command.spawn().with_context(|| {
        format!(
            "{} cannot be run: remove its folder and start again to install it anew",
            spec.program.display()
        )
    })?;
    let running = Running {
        role: spec.role.to_owned(),
        pid: child.id(),
        started: started(child.id()).unwrap_or_default(),
        program: spec.program.clone(),
        args: spec.args.clone(),
        port: spec.port,
        health: spec.health.to_owned(),
        group,
    };
    Ok((child, running))
}

impl Running {
    /// Whether the process is alive and the one that was started, not a later one with the same number.
    pub(crate) fn is_alive(&self) -> bool {
        started(self.pid).is_some_and(|now| now == self.started)
            && command_line(self.pid).is_some_and(|line| {
                // Elsewhere the interpreter of a virtual environment may show another path of itself.
                let program = !cfg!(target_os = "linux") || line.contains(&*self.program.to_string_lossy());
                program && line.contains(&self.args.join(" "))
            })
    }

    /// Whether it lives and answers its health check.
    pub(crate) fn health(&self) -> Health {
        if !self.is_alive() {
            Health::Gone
        } else if super::http::get_status(self.port, &self.health) == Some(200) {
            Health::Healthy
        } else {
            Health::Silent
        }
    }

    /// SIGTERM, a bounded wait, SIGKILL, a bounded wait. Says how it ended.
    pub(crate) fn stop(&self) -> Result<&'static str> {
        if !self.is_alive() {
            return Ok("was not running");
        }
        self.signal("TERM")?;
        if self.gone_within(TERM) {
            return Ok("stopped");
        }
        self.signal("KILL")?;
        if self.gone_within(KILL) {
            return Ok("killed, as it did not stop when told to");
        }
        bail!(
            "{} (pid {}) survived SIGKILL: look at it with `ps -p {0}`",
            self.role,
            self.pid
        )
    }

    fn gone_within(&self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        loop {
            if !self.is_alive() {
                return true;
            }
            if Instant::now() >= deadline {
                return false;
            }
            pause(Duration::from_millis(50));
        }
    }

    fn signal(&self, name: &str) -> Result<()> {
        // `kill` is built into every POSIX shell; the standard library has no signals and `unsafe` is forbidden.
        let sign = if self.group { "-" } else { "" };
        let status = Command::new("sh")
            .args([
                "-c",
                "kill -s \"$1\" -- \"$2\" 2>/dev/null",
                "sh",
                name,
                &format!("{sign}{}", self.pid),
            ])
            .status()
            .context("`sh` cannot be run, which sends the signal: put it on PATH")?;
        if !status.success() && self.is_alive() {
            bail!(
                "SIG{name} to {} (pid {}) was refused: stop it as the user who started it",
                self.role,
                self.pid
            );
        }
        Ok(())
    }
}

/// When the process started, or `None` if it is gone or only waits to be reaped.
fn started(pid: u32) -> Option<String> {
    match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => parse_stat(&stat),
        Err(_) if cfg!(target_os = "linux") => None,
        Err(_) => {
            let line = ps(pid, "stat=,lstart=")?;
            let (state, since) = line.trim().split_once(' ')?;
            (!state.starts_with('Z')).then(|| since.trim().to_owned())
        }
    }
}

/// The start time, field 22, unless the state, field 3, is that of a dead process.
fn parse_stat(stat: &str) -> Option<String> {
    // The name, field 2, is in parentheses and may itself hold spaces and parentheses.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    (!matches!(state, "Z" | "X" | "x"))
        .then(|| fields.nth(18).map(ToOwned::to_owned))
        .flatten()
}

fn command_line(pid: u32) -> Option<String> {
    match fs::read(format!("/proc/{pid}/cmdline")) {
        Ok(words) => Some(String::from_utf8_lossy(&words).replace('\0', " ")),
        Err(_) if cfg!(target_os = "linux") => None,
        Err(_) => ps(pid, "command="),
    }
}

fn ps(pid: u32, columns: &str) -> Option<String> {
    let out = Command::new("ps")
        .args(["-o", columns, "-p", &pid.to_string()])
        .output()
        .ok()?;
    out.status
        .success()
        .then(|| String::from_utf8_lossy(&out.stdout).into_owned())
}

/// Runs a program to its end, or kills it at the limit.
pub(crate) fn run_bounded(command: &mut Command, limit: Duration) -> Result<()> {
    let shown = format!("{command:?}");
    let mut child = command
        .stdin(Stdio::null())
        .spawn()
        .with_context(|| format!("{shown} cannot be run"))?;
    let deadline = Instant::now() + limit;
    loop {
        if let Some(status) = child
            .try_wait()
            .with_context(|| format!("{shown} cannot be waited for"))?
        {
            if status.success() {
                return Ok(());
            }
            bail!("{shown} failed with {status}; its output is above");
        }
        if Instant::now() >= deadline {
            // It may end in between, which is as good.
            drop(child.kill());
            drop(child.wait());
            bail!("{shown} did not end within {} s and was killed", limit.as_secs());
        }
        pause(Duration::from_millis(100));
    }
}

/// The last lines of a log, for an error message.
pub(crate) fn tail(log: &Path) -> String {
    const BYTES: u64 = 2_000;
    let read = || -> io::Result<String> {
        let mut file = File::open(log)?;
        let from = file.metadata()?.len().saturating_sub(BYTES);
        file.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    read().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_start_time_past_a_name_with_parentheses() {
        let stat = "1234 (py (x) y) S 1 1234 1234 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 987654 10 11";
        assert_eq!(parse_stat(stat).as_deref(), Some("987654"));
        assert_eq!(parse_stat(&stat.replace(" S ", " Z ")), None);
        assert_eq!(parse_stat("garbage"), None);
    }

    #[test]
    fn knows_itself_and_not_another() {
        let me = Running {
            role: "test".into(),
            pid: std::process::id(),
            started: started(std::process::id()).expect("a start time"),
            program: std::env::args().next().expect("a program").into(),
            args: vec![],
            port: 1,
            health: "/".into(),
            group: false,
        };
        assert!(me.is_alive());
        assert!(
            !Running {
                started: "0".into(),
                ..me.clone()
            }
            .is_alive()
        );
        assert!(
            !Running {
                program: "/no/such/program".into(),
                ..me
            }
            .is_alive()
        );
    }

    #[test]
    #[cfg(unix)]
    fn stops_a_child_and_says_when_there_is_none() {
        let folder = std::env::temp_dir();
        let spec = Spec {
            role: "xtask-test-sleeper",
            program: "sleep".into(),
            args: vec!["60".into()],
            env: vec![],
            port: 1,
            health: "/",
            deadline: Duration::ZERO,
        };
        let (mut child, running) = spawn(&spec, &folder, true).expect("sleep");
        assert!(running.is_alive());
        assert_eq!(running.stop().expect("a stop"), "stopped");
        assert_eq!(running.stop().expect("a stop"), "was not running");
        child.wait().expect("an end");
        fs::remove_file(folder.join("xtask-test-sleeper.log")).expect("its log");
    }

    #[test]
    #[cfg(unix)]
    fn a_bounded_run_ends() {
        run_bounded(&mut Command::new("true"), Duration::from_secs(10)).expect("true");
        let failed = run_bounded(&mut Command::new("false"), Duration::from_secs(10)).expect_err("false");
        assert!(failed.to_string().contains("\"false\" failed"), "{failed}");
        let late = run_bounded(Command::new("sleep").arg("60"), Duration::from_millis(1)).expect_err("late");
        assert!(late.to_string().contains("did not end"), "{late}");
    }
}
