//! Plain requests to hosts in the cloud.

use aws_smithy_runtime_api::client::http::HttpConnector as _;
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use rollout_core::id::DomainName;

use super::endpoint;
use crate::endpoint::InProcess;
use crate::endpoint::web::may_be_api;

async fn get(wire: &InProcess, url: &str) -> HttpResponse {
    let request = HttpRequest::get(url).expect("an address");
    wire.connector().call(request).await.expect("an answer")
}

fn body(answer: &HttpResponse) -> &str {
    core::str::from_utf8(answer.body().bytes().expect("a whole body")).expect("text")
}

#[tokio::test(start_paused = true)]
async fn a_host_in_the_cloud_is_answered_by_whoever_serves_it() {
    let wire = InProcess::new(endpoint());
    let host: DomainName = wire.endpoint().cloud().with(|world| {
        let env = world.env("production").expect("it exists");
        env.balancers[0].dns_name.clone()
    });
    let began = wire.now();
    let answer = get(&wire, &format!("http://{host}/health/ready")).await;
    assert_eq!(answer.status().as_u16(), 200);
    assert!(wire.now() > began, "an answer takes its time");

    // Nothing runs any more: the load balancer itself answers.
    wire.endpoint().cloud().with(|world| {
        let env = &mut world.environments[1];
        env.tasks.clear();
    });
    let answer = get(&wire, &format!("http://{host}/health/ready")).await;
    assert_eq!(
        (answer.status().as_u16(), body(&answer)),
        (503, "Service Temporarily Unavailable")
    );
    assert_eq!(wire.endpoint().calls(), [], "no call of an AWS API");
}

#[tokio::test(start_paused = true)]
async fn a_host_that_leads_nowhere_refuses() {
    let wire = InProcess::new(endpoint());
    let request = HttpRequest::get("http://nowhere.example/health").expect("an address");
    let error = wire.connector().call(request).await.expect_err("nobody is there");
    assert!(error.is_io(), "{error:?}");
}

#[test]
fn an_api_is_known_by_its_host() {
    for url in [
        "http://127.0.0.1:4566/?Action=X",
        "http://localhost/",
        "http://[::1]:1/",
        "https://sts.amazonaws.com",
    ] {
        assert!(may_be_api(url), "{url}");
    }
    assert!(!may_be_api("https://amazonaws.com.example/"));
}
