//! A request to the simulated cloud's AWS endpoint: a request line, headers, an empty line, a body.

use core::time::Duration;

use bytes::Bytes;
use http::Request;
use rollout_sim::endpoint::Endpoint;
use rollout_sim::{SimCloud, World};

fn world() -> World {
    let built = World::builder(1)
        .environment("production", |e| {
            e.account("222222222222")
                .image("app/api", "1")
                .image("app/api", "2")
                .service("api", |s| {
                    s.container("api", "app/api", "1").desired(2).load_balanced(8080)
                })
                .balancer("front", |b| b.route("/", "api"))
                .alarm("errors")
        })
        .zone("Z0FUZZ", "example.com", |z| {
            z.alias("www.example.com", "production", "front")
        })
        .build();
    built.expect("its names are constants")
}

fn request(bytes: &[u8]) -> Option<Request<Bytes>> {
    let end = bytes
        .windows(2)
        .position(|pair| pair == b"\n\n")
        .unwrap_or(bytes.len());
    let (head, body) = bytes.split_at(end);
    let mut lines = core::str::from_utf8(head).ok()?.lines();
    let (method, target) = lines.next()?.split_once(' ')?;
    let mut request = Request::builder().method(method).uri(target);
    for line in lines {
        let (name, value) = line.split_once(": ")?;
        request = request.header(name, value);
    }
    let body = body.get(2..).unwrap_or_default();
    request.body(Bytes::copy_from_slice(body)).ok()
}

/// No panic, neither in the answer nor in what the world makes of it within the next quarter of an hour; and the answer is one
/// that a client can read.
pub fn run(bytes: &[u8]) {
    thread_local! {
        static WORLD: World = world();
    }
    let Some(request) = request(bytes) else {
        return;
    };
    let cloud = SimCloud::new(WORLD.with(World::clone));
    let answer = Endpoint::new(cloud.clone()).answer(&request);
    let kind = answer
        .headers()
        .get("content-type")
        .map(|kind| kind.as_bytes().to_vec());
    let kind = String::from_utf8(kind.unwrap_or_default()).expect("a content type is text");
    if kind.contains("json") {
        let _: serde_json::Value = serde_json::from_slice(answer.body()).expect("JSON");
    } else if kind.contains("xml") {
        core::str::from_utf8(answer.body()).expect("text");
    }
    assert_ne!(answer.status(), 500, "{answer:?}");
    cloud.with(|world| world.pass(Duration::from_secs(900)));
}
