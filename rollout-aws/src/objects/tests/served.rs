//! The bucket as S3's protocol has it: a server on a loopback socket that applies conditions, and what reaches it.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_types::SdkConfig;
use aws_types::region::Region;
use rollout_core::lease::{LeaseStore as _, Scope};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;

/// Objects by path, with the number of their value, and what was asked.
#[derive(Debug, Default)]
struct Bucket {
    objects: BTreeMap<String, (Vec<u8>, u64)>,
    asked: Vec<String>,
    /// Answers that take the place of the right one, from the last to the first.
    answers: Vec<u16>,
}

/// One request, and its answer.
fn answer(bucket: &Mutex<Bucket>, head: &str, body: &[u8]) -> (u16, Vec<(&'static str, String)>, Vec<u8>) {
    let mut bucket = bucket.lock().unwrap_or_else(PoisonError::into_inner);
    let mut words = head.split_whitespace();
    let (method, path) = (
        words.next().unwrap_or_default(),
        words.next().unwrap_or_default().to_owned(),
    );
    let header = |name: &str| {
        head.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        })
    };
    let condition = match (header("if-none-match"), header("if-match")) {
        (Some(none), _) => format!(" if-none-match {none}"),
        (None, Some(same)) => format!(" if-match {same}"),
        (None, None) => String::new(),
    };
    assert!(
        header("authorization").is_some_and(|text| text.contains("/eu-central-1/s3/")),
        "{head}"
    );
    bucket.asked.push(format!("{method} {path}{condition}"));
    if let Some(status) = bucket.answers.pop() {
        return (status, Vec::new(), Vec::new());
    }
    let there = bucket.objects.get(&path).cloned();
    let e_tag = |number: u64| vec![("etag", format!("\"{number}\""))];
    match (method, there) {
        ("GET", Some((body, number))) => {
            let mut headers = e_tag(number);
            headers.push(("last-modified", "Fri, 21 Nov 2025 00:00:00 GMT".to_owned()));
            (200, headers, body)
        }
        ("GET", None) => (404, Vec::new(), Vec::new()),
        ("PUT", there) => {
            let number = there.as_ref().map(|(_, number)| format!("\"{number}\""));
            let fits = match (header("if-none-match"), header("if-match")) {
                (Some(_), _) => there.is_none(),
                (None, Some(wanted)) => number == Some(wanted),
                (None, None) => true,
            };
            if !fits {
                return (412, Vec::new(), Vec::new());
            }
            let number = there.map_or(1, |(_, number)| number + 1);
            bucket.objects.insert(path, (body.to_vec(), number));
            (200, e_tag(number), Vec::new())
        }
        _ => (501, Vec::new(), Vec::new()),
    }
}

async fn serve(bucket: Arc<Mutex<Bucket>>, mut stream: TcpStream) {
    let mut read = Vec::new();
    loop {
        let end = loop {
            if let Some(end) = read.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            let mut more = [0; 4096];
            match stream.read(&mut more).await {
                Ok(0) | Err(_) => return,
                Ok(count) => read.extend_from_slice(&more[..count]),
            }
        };
        let head = String::from_utf8_lossy(&read[..end]).into_owned();
        let length: usize = head
            .lines()
            .find_map(|line| {
                line.to_ascii_lowercase()
                    .strip_prefix("content-length:")
                    .map(|n| n.trim().to_owned())
            })
            .map_or(0, |text| text.parse().expect("a number"));
        while read.len() < end + length {
            let mut more = [0; 4096];
            let count = stream.read(&mut more).await.expect("the body");
            read.extend_from_slice(&more[..count]);
        }
        let (status, headers, body) = answer(&bucket, &head, &read[end..end + length]);
        read.drain(..end + length);
        let mut text = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n", body.len());
        for (key, value) in headers {
            text.push_str(&format!("{key}: {value}\r\n"));
        }
        text.push_str("\r\n");
        stream
            .write_all(&[text.as_bytes(), &body].concat())
            .await
            .expect("written");
    }
}

/// A bucket, opened as a program opens it.
async fn bucket() -> (Arc<dyn ObjectStore>, Arc<Mutex<Bucket>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let endpoint = format!("http://{}", listener.local_addr().expect("bound"));
    let bucket = Arc::<Mutex<Bucket>>::default();
    let served = Arc::clone(&bucket);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(Arc::clone(&served), stream));
        }
    });
    let credentials = Credentials::new("key", "secret", None, None, "test");
    let config = SdkConfig::builder()
        .region(Region::new("eu-central-1"))
        .endpoint_url(endpoint)
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .build();
    let location: Location = "s3://bucket/team".parse().expect("valid");
    (open(&location, &config).expect("opened"), bucket)
}

fn asked(bucket: &Mutex<Bucket>) -> Vec<String> {
    core::mem::take(&mut bucket.lock().unwrap_or_else(PoisonError::into_inner).asked)
}

#[tokio::test]
async fn a_lease_is_put_under_the_conditions_that_s3_knows() {
    let (store, bucket) = bucket().await;
    let leases = ObjectLeaseStore::new(store, Path::from("team/leases"));
    let scope = Scope {
        environment: "production".parse().expect("valid"),
        group: "storefront".parse().expect("valid"),
    };
    assert_eq!(leases.read(&scope).await.expect("read"), None);
    let first = leases.put(&scope, b"1", None).await.expect("put");
    let second = leases.put(&scope, b"2", Some(&first)).await.expect("put");
    for expected in [None, Some(&first)] {
        let error = leases
            .put(&scope, b"3", expected)
            .await
            .expect_err("there is another");
        assert_eq!((error.kind, error.applied), (ErrorKind::Conflict, Applied::No));
    }
    let stored = leases.read(&scope).await.expect("read").expect("there");
    assert_eq!((stored.value.as_slice(), stored.version), (&b"2"[..], second));
    let path = "/bucket/team/leases/production/storefront.json";
    assert_eq!(
        asked(&bucket),
        [
            format!("GET {path}"),
            format!("PUT {path} if-none-match *"),
            format!("PUT {path} if-match \"1\""),
            format!("PUT {path} if-none-match *"),
            format!("PUT {path} if-match \"1\""),
            format!("GET {path}"),
        ]
    );
    // Refused for good, and said so.
    bucket.lock().unwrap_or_else(PoisonError::into_inner).answers = vec![403];
    let error = leases.put(&scope, b"3", None).await.expect_err("denied");
    assert_eq!(
        (error.kind, error.applied),
        (ErrorKind::PermissionDenied, Applied::No)
    );
}

#[tokio::test]
async fn a_segment_is_put_where_there_is_none_and_409_is_read_back() {
    let (store, bucket) = bucket().await;
    let journal = ObjectJournal::on(
        store,
        folder().join("r-1"),
        "a".to_owned(),
        rollout_core::journal::LineWriter::new(FORMAT),
        0,
    );
    durable(&journal, &header(0)).await.expect("appended");
    bucket.lock().unwrap_or_else(PoisonError::into_inner).answers = vec![409];
    durable(&journal, &issued(1)).await.expect("appended");
    let (zero, one) = (
        "/bucket/team/journals/r-1/00000000.jsonl",
        "/bucket/team/journals/r-1/00000001.jsonl",
    );
    assert_eq!(
        asked(&bucket),
        [
            format!("PUT {zero} if-none-match *"),
            format!("PUT {one} if-none-match *"),
            format!("GET {one}"),
            format!("PUT {one} if-none-match *"),
        ]
    );
}
