//! A web server on loopback that gives one answer.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// It answers until it is dropped.
#[derive(Debug)]
pub struct Web {
    address: SocketAddr,
    serving: JoinHandle<()>,
}

impl Web {
    /// Answers every request with 200 and this body.
    ///
    /// # Panics
    /// When loopback has no free port.
    pub async fn saying(body: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let serving = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = [0; 4096];
                // One read is a whole request here; whoever sends less gets the same answer.
                let _ = stream.read(&mut head).await;
                let length = body.len();
                let answer =
                    format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        Self { address, serving }
    }

    /// The URL of a path.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.serving.abort();
    }
}
