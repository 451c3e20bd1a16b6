//! The probe against a small HTTP server on loopback, which the tests' policy allows.

use std::io;
use std::sync::Mutex;

use rollout_core::error::Retry;
use rollout_core::id::Generation;
use rollout_core::pace::Priority;
use rollout_core::probe::Subject;
use rollout_core::time::Timestamp;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

/// Answers each look-up with the next list; the last one again and again. Remembers what it was asked.
struct Scripted {
    answers: Mutex<Vec<Vec<SocketAddr>>>,
    asked: Mutex<Vec<String>>,
}

impl Scripted {
    fn new(answers: impl IntoIterator<Item = Vec<SocketAddr>>) -> Arc<Self> {
        let mut answers: Vec<_> = answers.into_iter().collect();
        answers.reverse();
        Arc::new(Self {
            answers: Mutex::new(answers),
            asked: Mutex::new(Vec::new()),
        })
    }

    fn asked(&self) -> usize {
        self.asked.lock().expect("not poisoned").len()
    }
}

#[async_trait]
impl Resolve for Scripted {
    async fn resolve(&self, host: &str, _port: u16) -> io::Result<Vec<SocketAddr>> {
        self.asked.lock().expect("not poisoned").push(host.to_owned());
        let mut answers = self.answers.lock().expect("not poisoned");
        match answers.len() {
            0 => Err(io::Error::other("no such host")),
            1 => Ok(answers[0].clone()),
            _ => Ok(answers.pop().expect("more than one")),
        }
    }
}

fn context() -> OpContext {
    OpContext {
        run: "r-1".parse().expect("a valid id"),
        step: "gate/live".parse().expect("a valid id"),
        attempt: 1,
        generation: Generation(1),
        deadline: Timestamp::MAX,
        priority: Priority::Look,
    }
}

fn http(url: &str) -> HttpProbe {
    HttpProbe {
        url: url.to_owned(),
        status: Vec::new(),
        body_contains: None,
        latency: Duration::from_secs(60),
        timeout: Duration::from_secs(60),
        redirects: 0,
    }
}

fn request(probe: HttpProbe) -> SampleRequest {
    SampleRequest {
        probe: "live".parse().expect("a valid name"),
        target: ProbeTarget::Http(probe),
        subject: Subject {
            service: None,
            images: std::collections::BTreeMap::new(),
            changed_at: Timestamp::EPOCH,
        },
    }
}

fn loopback_allowed() -> AddressPolicy {
    AddressPolicy::new(["127.0.0.0/8".parse().expect("a network")])
}

fn gate(policy: AddressPolicy, resolver: Arc<Scripted>) -> HttpGate {
    HttpGate::new(policy)
        .with_now(Arc::new(|| Timestamp::from_millis(7)))
        .with_resolver(resolver)
}

async fn sample(gate: &HttpGate, probe: HttpProbe) -> Result<Sample, Error> {
    gate.sample(&context(), &request(probe)).await
}

/// Serves one fixed answer per connection, in turn, the last one again and again. Gives the requests it has read.
async fn serve(answers: Vec<String>) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let seen = Arc::new(Mutex::new(Vec::new()));
    let requests = Arc::clone(&seen);
    tokio::spawn(async move {
        let mut turn = 0;
        loop {
            let Ok((mut stream, _)) = listener.accept().await else {
                return;
            };
            let mut head = Vec::new();
            let mut buffer = [0; 1024];
            // A TLS client speaks first and then waits: it gets its answer, in the clear, at once.
            while !head.windows(4).any(|w| w == b"\r\n\r\n") && head.first() != Some(&0x16) {
                match stream.read(&mut buffer).await {
                    Ok(read) if read > 0 => head.extend_from_slice(&buffer[..read]),
                    _ => break,
                }
            }
            requests
                .lock()
                .expect("not poisoned")
                .push(String::from_utf8_lossy(&head).into_owned());
            let answer = &answers[turn.min(answers.len() - 1)];
            turn += 1;
            // The client may hang up once it has read enough.
            let _sent = stream.write_all(answer.as_bytes()).await;
            let _ended = stream.shutdown().await;
        }
    });
    (address, seen)
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n{body}",
        body.len()
    )
}

/// A gate whose every name leads to the server.
fn gate_to(server: SocketAddr) -> HttpGate {
    gate(loopback_allowed(), Scripted::new([vec![server]]))
}

fn url(server: SocketAddr, path: &str) -> String {
    format!("http://backend.example.com:{}{path}", server.port())
}

#[tokio::test]
async fn a_good_answer_passes_with_its_status_as_evidence() {
    let (server, seen) = serve(vec![answer("200 OK", "", "{\"state\":\"live\"}")]).await;
    let mut probe = http(&url(server, "/health/live"));
    probe.body_contains = Some("\"live\"".to_owned());
    let sample = sample(&gate_to(server), probe).await.expect("an answer");
    assert_eq!(sample.verdict, Verdict::Pass, "{sample:?}");
    assert_eq!(sample.at, Timestamp::from_millis(7));
    assert_eq!(sample.images, None);
    let evidence = &sample.evidence[0];
    assert_eq!(evidence.subject, url(server, "/health/live"));
    assert!(
        evidence.detail.starts_with("status 200 after "),
        "{}",
        evidence.detail
    );
    assert!(!evidence.detail.contains("state"), "no body in a pass");
    let seen = seen.lock().expect("not poisoned");
    assert!(seen[0].starts_with("GET /health/live HTTP/1.1\r\n"), "{seen:?}");
    assert!(
        seen[0].contains(&format!("host: backend.example.com:{}\r\n", server.port())),
        "{seen:?}"
    );
}

#[tokio::test]
async fn another_status_fails_and_quotes_the_body_on_one_line() {
    let (server, _) = serve(vec![answer(
        "503 Service Unavailable",
        "",
        &format!("no\ndatabase{}", "x".repeat(1000)),
    )])
    .await;
    let sample = sample(&gate_to(server), http(&url(server, "/health/ready")))
        .await
        .expect("an answer");
    assert_eq!(sample.verdict, Verdict::Fail);
    let detail = &sample.evidence[0].detail;
    assert!(detail.contains("status 503"), "{detail}");
    assert!(detail.contains("expected 200 to 299"), "{detail}");
    assert!(detail.contains("\"no databasexxx"), "{detail}");
    assert!(detail.chars().count() < QUOTE_LIMIT + 100, "{detail}");
}

#[tokio::test]
async fn listed_statuses_replace_the_usual_ones() {
    let (server, _) = serve(vec![answer("204 No Content", "", "")]).await;
    let mut probe = http(&url(server, "/"));
    probe.status = vec![204];
    assert_eq!(
        sample(&gate_to(server), probe.clone()).await.expect("ok").verdict,
        Verdict::Pass
    );
    probe.status = vec![200, 201];
    let failed = sample(&gate_to(server), probe).await.expect("ok");
    assert_eq!(failed.verdict, Verdict::Fail);
    assert!(
        failed.evidence[0].detail.contains("expected 200 or 201"),
        "{failed:?}"
    );
}

#[tokio::test]
async fn a_body_without_the_text_fails_and_only_its_first_part_is_read() {
    let late = format!("{}needle", "x".repeat(BODY_LIMIT));
    let (server, _) = serve(vec![answer("200 OK", "", &late)]).await;
    let mut probe = http(&url(server, "/"));
    probe.body_contains = Some("needle".to_owned());
    let failed = sample(&gate_to(server), probe).await.expect("ok");
    assert_eq!(failed.verdict, Verdict::Fail);
    assert!(
        failed.evidence[0]
            .detail
            .contains("does not contain \"needle\" in its first 65536 bytes"),
        "{failed:?}"
    );

    let exact = format!("{}needle", "x".repeat(BODY_LIMIT - 6));
    let (server, _) = serve(vec![answer("200 OK", "", &exact)]).await;
    let mut probe = http(&url(server, "/"));
    probe.body_contains = Some("needle".to_owned());
    assert_eq!(
        sample(&gate_to(server), probe).await.expect("ok").verdict,
        Verdict::Pass
    );
}

#[tokio::test]
async fn an_answer_slower_than_the_limit_fails() {
    let (server, _) = serve(vec![answer("200 OK", "", "fine")]).await;
    let mut probe = http(&url(server, "/"));
    probe.latency = Duration::ZERO; // no answer takes no time at all
    let failed = sample(&gate_to(server), probe).await.expect("ok");
    assert_eq!(failed.verdict, Verdict::Fail);
    assert!(
        failed.evidence[0].detail.ends_with("slower than 0 ms"),
        "{failed:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_answers_fails_when_the_time_is_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let server = listener.local_addr().expect("bound");
    let mut probe = http(&url(server, "/"));
    probe.timeout = Duration::from_secs(3);
    let failed = sample(&gate_to(server), probe).await.expect("ok");
    assert_eq!(failed.verdict, Verdict::Fail);
    assert!(
        failed.evidence[0]
            .detail
            .starts_with("no whole answer within 3000 ms"),
        "{failed:?}"
    );
}

#[tokio::test]
async fn a_refused_connection_and_a_tls_error_fail_with_their_cause() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let nobody = listener.local_addr().expect("bound");
    drop(listener);
    let failed = sample(&gate_to(nobody), http(&url(nobody, "/")))
        .await
        .expect("ok");
    assert_eq!(failed.verdict, Verdict::Fail);
    assert!(
        failed.evidence[0].detail.to_lowercase().contains("refused"),
        "{failed:?}"
    );

    let (plain, _) = serve(vec![answer("200 OK", "", "")]).await;
    let https = format!("https://backend.example.com:{}/", plain.port());
    let failed = sample(&gate_to(plain), http(&https)).await.expect("ok");
    assert_eq!(failed.verdict, Verdict::Fail);
    assert!(
        failed.evidence[0].detail.contains("InvalidContentType"),
        "{failed:?}"
    );
}

#[tokio::test]
async fn forbidden_addresses_are_errors_and_are_never_connected_to() {
    let (server, seen) = serve(vec![answer("200 OK", "", "secret")]).await;
    let mapped = SocketAddr::new("::ffff:127.0.0.1".parse().expect("an address"), server.port());
    let public = SocketAddr::new("192.0.2.1".parse().expect("an address"), server.port());
    for found in [vec![server], vec![mapped], vec![public, server]] {
        let gate = gate(AddressPolicy::default(), Scripted::new([found]));
        let error = sample(&gate, http(&url(server, "/")))
            .await
            .expect_err("a loopback address");
        assert_eq!(error.kind, ErrorKind::PermissionDenied);
        assert!(error.context.contains("127.0.0.1"), "{error}");
        assert!(error.context.contains("`allow_addresses`"), "{error}");
    }
    // Literals are not looked up; every way to write one is read as the address it is.
    let never = Scripted::new([]);
    let gate = gate(AddressPolicy::default(), Arc::clone(&never));
    let port = server.port();
    for host in [
        "127.0.0.1",
        "2130706433",
        "0x7f.1",
        "[::1]",
        "[::ffff:7f00:1]",
        "0.0.0.0",
    ] {
        let error = sample(&gate, http(&format!("http://{host}:{port}/")))
            .await
            .expect_err("a loopback address");
        assert_eq!(error.kind, ErrorKind::PermissionDenied, "{host}");
    }
    assert_eq!(never.asked(), 0);
    assert!(seen.lock().expect("not poisoned").is_empty());
}

#[tokio::test]
async fn metadata_is_refused_even_where_everything_is_allowed() {
    let policy = AddressPolicy::new(["0.0.0.0/0", "::/0"].map(|n| n.parse().expect("a network")));
    let gate = gate(policy, Scripted::new([]));
    for host in ["169.254.169.254", "169.254.170.2", "[fd00:ec2::254]"] {
        let error = sample(&gate, http(&format!("http://{host}/latest/meta-data/")))
            .await
            .expect_err("metadata");
        assert_eq!(error.kind, ErrorKind::PermissionDenied, "{host}");
        assert!(error.context.contains("no probe may reach"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_that_answers_differently_the_second_time_is_asked_once() {
    let (server, seen) = serve(vec![answer("200 OK", "", "internal")]).await;
    // An address of the documentation network: nobody answers there, so the sample is a failure, not an answer.
    let public = SocketAddr::new("192.0.2.1".parse().expect("an address"), server.port());
    let rebinding = Scripted::new([vec![public], vec![server]]);
    let gate = gate(AddressPolicy::default(), Arc::clone(&rebinding));
    let mut probe = http(&url(server, "/"));
    probe.timeout = Duration::from_secs(1);
    let failed = sample(&gate, probe).await.expect("a sample");
    assert_eq!(failed.verdict, Verdict::Fail);
    assert_eq!(rebinding.asked(), 1);
    assert!(seen.lock().expect("not poisoned").is_empty());
}

#[tokio::test]
async fn a_redirect_within_the_host_is_followed_and_looked_up_anew() {
    let (server, seen) = serve(vec![
        answer("302 Found", "location: /there?token=hidden\r\n", ""),
        answer("200 OK", "", "here"),
    ])
    .await;
    let resolver = Scripted::new([vec![server], vec![server]]);
    let gate = gate(loopback_allowed(), Arc::clone(&resolver));
    let mut probe = http(&url(server, "/here"));
    probe.redirects = 1;
    let passed = sample(&gate, probe.clone()).await.expect("ok");
    assert_eq!(passed.verdict, Verdict::Pass, "{passed:?}");
    assert_eq!(passed.evidence[0].subject, format!("{}?…", url(server, "/there")));
    assert_eq!(resolver.asked(), 2);
    assert_eq!(seen.lock().expect("not poisoned").len(), 2);
}

#[tokio::test]
async fn a_name_rebound_between_two_hops_is_refused_at_the_second() {
    let (server, seen) = serve(vec![answer("302 Found", "location: /there\r\n", "")]).await;
    let link_local = SocketAddr::new("169.254.1.1".parse().expect("an address"), server.port());
    let gate = gate(
        loopback_allowed(),
        Scripted::new([vec![server], vec![link_local]]),
    );
    let mut probe = http(&url(server, "/"));
    probe.redirects = 3;
    let error = sample(&gate, probe).await.expect_err("a link-local address");
    assert_eq!(error.kind, ErrorKind::PermissionDenied);
    assert!(error.context.contains("169.254.1.1"), "{error}");
    assert_eq!(seen.lock().expect("not poisoned").len(), 1);
}

#[tokio::test]
async fn redirects_elsewhere_and_without_end_fail() {
    for (location, says) in [
        ("http://169.254.169.254/latest/meta-data/", "another host"),
        ("//other.example.com/", "another host"),
        ("ftp://backend.example.com/", "scheme `ftp`"),
        ("http://[", "does not parse"),
        ("/again", "1 allowed"),
    ] {
        let (server, seen) = serve(vec![answer(
            "301 Moved",
            &format!("location: {location}\r\n"),
            "",
        )])
        .await;
        let mut probe = http(&url(server, "/"));
        probe.redirects = 1;
        let failed = sample(&gate_to(server), probe).await.expect("ok");
        assert_eq!(failed.verdict, Verdict::Fail, "{location}");
        let detail = &failed.evidence[0].detail;
        assert!(detail.contains(says), "{location}: {detail}");
        let hops = if location == "/again" { 2 } else { 1 };
        assert_eq!(seen.lock().expect("not poisoned").len(), hops, "{location}");
    }
}

#[tokio::test]
async fn a_redirect_that_is_the_expected_status_is_the_answer() {
    let (server, _) = serve(vec![answer("301 Moved", "location: https://elsewhere/\r\n", "")]).await;
    let mut probe = http(&url(server, "/"));
    probe.status = vec![301];
    probe.redirects = 5;
    assert_eq!(
        sample(&gate_to(server), probe).await.expect("ok").verdict,
        Verdict::Pass
    );
}

#[test]
fn https_never_becomes_http() {
    let from = Url::parse("https://a.example.com/x").expect("a URL");
    assert!(redirect(&from, "http://a.example.com/x").is_err());
    assert!(redirect(&from, "https://A.example.com.:443/y").is_ok());
    let plain = Url::parse("http://a.example.com/x").expect("a URL");
    assert!(redirect(&plain, "https://a.example.com/x").is_ok());
}

#[tokio::test]
async fn a_name_without_an_answer_is_an_error_of_the_source() {
    let gate = gate(AddressPolicy::default(), Scripted::new([]));
    let error = sample(&gate, http("http://nowhere.example.com/"))
        .await
        .expect_err("no such host");
    assert_eq!((error.kind, error.retry), (ErrorKind::Unavailable, Retry::Later));
    let gate = self::gate(AddressPolicy::default(), Scripted::new([Vec::new()]));
    let error = sample(&gate, http("http://nowhere.example.com/"))
        .await
        .expect_err("no address");
    assert_eq!(error.kind, ErrorKind::Unavailable);
}

#[tokio::test]
async fn secrets_in_a_url_are_sent_but_never_shown() {
    let (server, seen) = serve(vec![answer("500 Internal Server Error", "", "")]).await;
    let gate = gate_to(server);
    let with_secrets = format!(
        "http://user:canary@backend.example.com:{}/p?key=canary#canary",
        server.port()
    );
    let failed = sample(&gate, http(&with_secrets)).await.expect("ok");
    assert!(!format!("{failed:?}").contains("canary"), "{failed:?}");
    assert!(
        seen.lock().expect("not poisoned")[0].starts_with("GET /p?key=canary "),
        "sent as given"
    );
    // Nor where there is no answer, nor where the URL or its address is refused.
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let nobody = listener.local_addr().expect("bound");
    drop(listener);
    let failed = sample(
        &gate_to(nobody),
        http(&format!("http://user:canary@h:{}/?canary", nobody.port())),
    )
    .await
    .expect("ok");
    assert!(!format!("{failed:?}").contains("canary"), "{failed:?}");
    for text in [
        "http://user:canary@127.0.0.2:99999/",
        "ftp://user:canary@host/",
        "http://user:canary@[::1]/?canary",
    ] {
        let error = sample(&gate, http(text)).await.expect_err("refused");
        assert!(!Report(&error).to_string().contains("canary"), "{error}");
    }
}

#[tokio::test]
async fn another_kind_of_probe_is_unsupported() {
    let gate = gate(AddressPolicy::default(), Scripted::new([]));
    let mut other = request(http("http://h/"));
    other.target = ProbeTarget::Alarms { names: Vec::new() };
    let error = gate.sample(&context(), &other).await.expect_err("not HTTP");
    assert_eq!(error.kind, ErrorKind::Unsupported);
}
