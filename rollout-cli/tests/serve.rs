//! `rollout sim serve`: the program itself, asked over its socket.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

/// The program while it serves.
struct Serving {
    child: Child,
    said: Value,
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn rollout(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rollout"));
    command
        .args(args)
        .env_remove("ROLLOUT_CLOUD")
        .stdin(Stdio::null());
    command
}

fn serve(args: &[&str]) -> Serving {
    let mut command = rollout(&["--json", "sim", "serve", "--port", "0"]);
    let mut child = command
        .args(args)
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut line = String::new();
    let out = child.stdout.take().expect("it is piped");
    BufReader::new(out)
        .read_line(&mut line)
        .expect("it says where it is");
    let said = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}"));
    Serving { child, said }
}

impl Serving {
    /// Status and body of an answer to `GetCallerIdentity` or another action of STS.
    fn ask(&self, action: &str) -> (u16, String) {
        let authority = self.said["url"]
            .as_str()
            .and_then(|url| url.strip_prefix("http://"));
        let mut stream = TcpStream::connect(authority.expect("a URL")).expect("it listens");
        let body = format!("Action={action}&Version=2011-06-15");
        let request = format!(
            "POST / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/x-www-form-urlencoded\r\n\
             authorization: AWS4-HMAC-SHA256 Credential=222222222222/20260101/eu-central-1/sts/aws4_request, Signature=0\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).expect("it listens");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        let status = answer.split(' ').nth(1).and_then(|s| s.parse().ok());
        (status.expect("a status"), answer)
    }
}

fn text(output: &Output) -> (Option<i32>, String) {
    let text = [output.stdout.as_slice(), &output.stderr].concat();
    (output.status.code(), String::from_utf8(text).expect("it is text"))
}

#[test]
fn it_says_where_it_is_and_answers_there() {
    let serving = serve(&["--speed", "30"]);
    assert_eq!(serving.said["kind"], "serving");
    assert_eq!(serving.said["environments"][1]["account"], "222222222222");
    let (status, answer) = serving.ask("GetCallerIdentity");
    assert_eq!(status, 200, "{answer}");
    assert!(answer.contains("<Account>222222222222</Account>"), "{answer}");
    let (status, answer) = serving.ask("AssumeRole");
    assert_eq!(status, 501, "{answer}");
}

#[test]
fn a_scenario_that_makes_no_sense_is_said_before_anything_is_served() {
    let folder = tempfile::tempdir().expect("a directory");
    let path = folder.path().join("world.toml");
    std::fs::write(&path, "[[environments]]\nname = \"one\"\ncolour = 1\n").expect("it can be written");
    let command = rollout(&["sim", "serve", "--port", "0", "--scenario"])
        .arg(&path)
        .output();
    let (code, said) = text(&command.expect("it starts"));
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.contains("unknown field `colour`") && said.contains("world.toml"),
        "{said}"
    );
}

#[test]
fn the_operations_are_listed() {
    let (code, said) = text(&rollout(&["sim", "operations"]).output().expect("it starts"));
    assert_eq!(code, Some(0));
    for operation in ["ecs:UpdateService", "sts:GetCallerIdentity"] {
        assert!(said.lines().any(|line| line == operation), "{said}");
    }
}
