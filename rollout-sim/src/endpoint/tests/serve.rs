//! The socket: real connections, real time.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use rollout_core::id::ImageDigest;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use super::{ecr, endpoint, form, text};
use crate::endpoint::{Endpoint, ServeOptions, Server, Upset, WireFault};

const WHO: &str = "Action=GetCallerIdentity&Version=2011-06-15";

/// A server while `ask` runs; it has ended when this returns.
async fn served<F: Future<Output = ()>>(
    endpoint: Endpoint,
    options: ServeOptions,
    ask: impl FnOnce(String) -> F,
) {
    let server = Server::bind(endpoint, &options).await.expect("a free port");
    let url = server.url();
    let (end, ended) = oneshot::channel::<()>();
    let running = tokio::spawn(server.run(async {
        let _ = ended.await;
    }));
    ask(url.clone()).await;
    let _ = end.send(());
    running.await.expect("it ends");
    let authority = url.strip_prefix("http://").expect("http");
    assert!(
        TcpStream::connect(authority).await.is_err(),
        "nobody listens any more"
    );
}

async fn send(url: &str, mut request: Request<Bytes>) -> Result<Response<Bytes>, hyper::Error> {
    let authority = url.strip_prefix("http://").expect("http");
    let stream = TcpStream::connect(authority).await.expect("it listens");
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    request
        .headers_mut()
        .insert("host", authority.parse().expect("printable"));
    let (parts, body) = sender.send_request(request.map(Full::new)).await?.into_parts();
    let body = body.collect().await?.to_bytes();
    drop(sender);
    let _ = connection.await;
    Ok(Response::from_parts(parts, body))
}

#[tokio::test]
async fn it_answers_on_the_loopback_interface_only() {
    served(endpoint(), ServeOptions::default(), |url| async move {
        assert!(url.starts_with("http://127.0.0.1:"), "{url}");
        let answer = send(&url, form("sts", WHO)).await.expect("an answer");
        assert_eq!(answer.status(), 200);
        assert!(text(&answer).contains("<Account>444455556666</Account>"));
    })
    .await;
}

/// Whoever reaches the endpoint on this machine can fetch there what it points to.
#[tokio::test]
async fn a_layer_is_fetched_from_the_same_socket() {
    let endpoint = ecr::endpoint();
    let layer = endpoint.cloud().with(|world| {
        let repository = "app/api".parse().expect("a name");
        let read = |image: &ImageDigest| -> Value {
            let bytes = world.manifest("staging", &repository, image);
            serde_json::from_slice(bytes.expect("it is there").expect("it is held")).expect("JSON")
        };
        let index = read(&world.image("staging", "app/api", "1").expect("it is there"));
        let child = index["manifests"][0]["digest"].as_str().expect("a digest");
        let manifest = read(&child.parse().expect("a digest"));
        manifest["layers"][0]["digest"]
            .as_str()
            .expect("a digest")
            .to_owned()
    });
    served(endpoint, ServeOptions::default(), |url| async move {
        let body = json!({ "repositoryName": "app/api", "layerDigest": layer });
        let asked = ecr::request(ecr::STAGING, "GetDownloadUrlForLayer", &body);
        let answer = send(&url, asked).await.expect("an answer");
        let answer: Value = serde_json::from_slice(answer.body()).expect("JSON");
        let address = answer["downloadUrl"].as_str().expect("an address");
        let path = address.strip_prefix(&url).expect("on the same socket").to_owned();
        let get = |path: &str| Request::get(path).body(Bytes::new()).expect("a request");
        let fetched = send(&url, get(&path)).await.expect("an answer");
        assert_eq!(fetched.status(), 200);
        assert_eq!(ImageDigest::of(fetched.body()).as_str(), layer);
        let other = path.replace("app/api", "app/other");
        assert_eq!(send(&url, get(&other)).await.expect("an answer").status(), 404);
    })
    .await;
}

#[tokio::test]
async fn a_lost_answer_is_a_broken_connection() {
    let endpoint = endpoint();
    endpoint.disturb(WireFault::nth("sts", "GetCallerIdentity", 1, Upset::LostAnswer));
    served(endpoint.clone(), ServeOptions::default(), |url| async move {
        assert!(send(&url, form("sts", WHO)).await.is_err());
        assert!(send(&url, form("sts", WHO)).await.is_ok());
    })
    .await;
    assert_eq!(endpoint.calls().len(), 2);
}

#[tokio::test]
async fn what_is_not_modelled_goes_upstream_unchanged() {
    // The other endpoint is one of ours: it names the operation in its refusal.
    let other = Server::bind(endpoint(), &ServeOptions::default())
        .await
        .expect("a free port");
    let options = ServeOptions {
        upstream: Some(other.url().parse().expect("a URL")),
        ..ServeOptions::default()
    };
    let (end, ended) = oneshot::channel::<()>();
    let running = tokio::spawn(other.run(async {
        let _ = ended.await;
    }));
    let first = endpoint();
    served(first.clone(), options, |url| async move {
        let answer = send(&url, form("sts", "Action=AssumeRole&Version=2011-06-15"))
            .await
            .expect("an answer");
        assert_eq!(answer.status(), 501);
        assert!(text(&answer).contains("AssumeRole of sts"));
        let answer = send(&url, form("sts", WHO)).await.expect("an answer");
        assert_eq!(answer.status(), 200);
    })
    .await;
    let here: Vec<_> = first.calls().into_iter().map(|call| call.operation).collect();
    assert_eq!(here, ["GetCallerIdentity"]);
    let _ = end.send(());
    running.await.expect("it ends");
}

#[tokio::test]
async fn an_upstream_that_is_away_is_a_bad_gateway() {
    let away = Server::bind(endpoint(), &ServeOptions::default())
        .await
        .expect("a free port");
    let options = ServeOptions {
        upstream: Some(away.url().parse().expect("a URL")),
        ..ServeOptions::default()
    };
    drop(away);
    served(endpoint(), options, |url| async move {
        let answer = send(&url, form("sts", "Action=AssumeRole&Version=2011-06-15"))
            .await
            .expect("an answer");
        assert_eq!(answer.status(), 502);
    })
    .await;
    for wrong in ["https://127.0.0.1:4566", "http://127.0.0.1:4566/path", "/"] {
        let options = ServeOptions {
            upstream: Some(wrong.parse().expect("a URL")),
            ..ServeOptions::default()
        };
        assert!(Server::bind(endpoint(), &options).await.is_err(), "{wrong}");
    }
}
