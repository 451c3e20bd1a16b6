//! A network to be in. Only moto wants one that exists; EC2 is asked by hand, since no other test needs its client.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::emulator::REGION;

/// A VPC and two of its subnets.
#[derive(Clone, Debug)]
pub struct Network {
    /// Its id.
    pub vpc: String,
    /// Their ids.
    pub subnets: Vec<String>,
}

impl Network {
    /// Ids for everyone who does not look.
    #[must_use]
    pub fn any() -> Self {
        Self {
            vpc: "vpc-0123456789abcdef0".to_owned(),
            subnets: ["subnet-0123456789abcdef0", "subnet-0123456789abcdef1"]
                .map(str::to_owned)
                .to_vec(),
        }
    }

    /// The default network at the endpoint of the environment.
    ///
    /// # Panics
    /// When there is none.
    pub async fn there() -> Self {
        let url = std::env::var("AWS_ENDPOINT_URL").expect("an endpoint");
        let host = url.strip_prefix("http://").expect("one on this machine");
        let body = "Action=DescribeSubnets&Version=2016-11-15";
        let request = format!(
            "POST / HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-length: {}\r\n\
             content-type: application/x-www-form-urlencoded\r\nauthorization: AWS4-HMAC-SHA256 \
             Credential=test/20260101/{REGION}/ec2/aws4_request, SignedHeaders=host, Signature=0\r\n\r\n{body}",
            body.len()
        );
        let mut stream = TcpStream::connect(host).await.expect("it listens");
        stream.write_all(request.as_bytes()).await.expect("it reads");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.expect("it answers");
        let answer = String::from_utf8_lossy(&answer).into_owned();
        let all = |tag: &str| -> Vec<String> {
            let (begins, ends) = (format!("<{tag}>"), format!("</{tag}>"));
            let parts = answer.split(&begins).skip(1).map(str::to_owned);
            parts
                .filter_map(|part| Some(part.split_once(&ends)?.0.to_owned()))
                .collect()
        };
        let mut subnets = all("subnetId");
        subnets.truncate(2);
        assert_eq!(subnets.len(), 2, "{answer}");
        Self {
            vpc: all("vpcId").swap_remove(0),
            subnets,
        }
    }
}
