//! The endpoint on a loopback socket, for any AWS client.

use core::future::Future;
use core::pin::pin;
use core::time::Duration;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1 as client;
use hyper::server::conn::http1 as server;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};

use super::exchange::Exchange;
use super::pace::Pace;
use super::{Endpoint, Latency};

/// The largest body that is read. A part of an image's layer is 20 MiB at most, a third more in JSON.
const LARGEST: usize = 64 * 1024 * 1024;

/// For how long requests that are under way may go on after the end.
const GRACE: Duration = Duration::from_secs(5);

/// How the endpoint is served.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// The port; 0 takes a free one.
    pub port: u16,
    /// Seconds of the world in one real second; at least 1.
    pub speed: u32,
    /// Where requests go that are not modelled, unchanged: an `http` URL such as another emulator's.
    pub upstream: Option<Uri>,
    /// How long requests take besides; real connections take their own time.
    pub latency: Latency,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            port: 0,
            speed: 1,
            upstream: None,
            latency: Latency::NONE,
        }
    }
}

/// The endpoint on a socket of this machine (127.0.0.1, and no other interface).
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    exchange: Exchange,
    upstream: Option<Upstream>,
}

/// Another endpoint.
#[derive(Clone, Debug)]
struct Upstream {
    authority: String,
    address: String,
}

impl Upstream {
    fn new(url: &Uri) -> io::Result<Self> {
        let wrong =
            |text: &str| io::Error::new(io::ErrorKind::InvalidInput, format!("upstream {url}: {text}"));
        let authority = url.authority().ok_or_else(|| wrong("it names no host"))?;
        if url.scheme_str() != Some("http") {
            return Err(wrong("only http is spoken here, as local emulators do"));
        }
        if !matches!(url.path(), "" | "/") {
            return Err(wrong("a path is not taken: requests keep their own"));
        }
        let port = authority.port_u16().unwrap_or(80);
        Ok(Self {
            authority: authority.as_str().to_owned(),
            address: format!("{}:{port}", authority.host()),
        })
    }

    async fn forward(&self, mut request: Request<Bytes>) -> Result<Response<Full<Bytes>>, String> {
        let failed =
            |what: &str, error: &dyn core::fmt::Display| format!("{what} {}: {error}", self.authority);
        let stream = TcpStream::connect(&self.address)
            .await
            .map_err(|e| failed("cannot connect to", &e))?;
        let (mut sender, connection) = client::handshake(TokioIo::new(stream))
            .await
            .map_err(|e| failed("cannot speak to", &e))?;
        // Ends with the sender.
        tokio::spawn(connection);
        if let Ok(host) = HeaderValue::from_str(&self.authority) {
            request.headers_mut().insert(HOST, host);
        }
        let answer = sender.send_request(request.map(Full::new)).await;
        let (parts, body) = answer.map_err(|e| failed("no answer from", &e))?.into_parts();
        let body = body.collect().await;
        let body = body.map_err(|e| failed("no whole answer from", &e))?.to_bytes();
        Ok(Response::from_parts(parts, Full::new(body)))
    }
}

impl Server {
    /// Opens the socket. The world's time runs from now on.
    ///
    /// # Errors
    /// When the port is taken, or `upstream` is no plain `http` URL.
    pub async fn bind(endpoint: Endpoint, options: &ServeOptions) -> io::Result<Self> {
        let upstream = options.upstream.as_ref().map(Upstream::new).transpose()?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port)).await?;
        let address = listener.local_addr()?;
        let pace = Pace::new(endpoint.cloud().clone(), options.speed);
        Ok(Self {
            listener,
            address,
            exchange: Exchange::new(endpoint, pace, options.latency),
            upstream,
        })
    }

    /// The URL to give to a client.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Serves until `end`; requests that are under way then are answered first, within five seconds.
    pub async fn run(self, end: impl Future<Output = ()>) {
        let graceful = GracefulShutdown::new();
        let mut end = pin!(end);
        loop {
            let stream = tokio::select! {
                () = &mut end => break,
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, _)) => stream,
                    // A connection that broke before it was taken, or too many files: the next one may do.
                    Err(_) => {
                        tokio::time::sleep(Duration::from_millis(10)).await;
                        continue;
                    }
                },
            };
            // An answer is one small write.
            let _ = stream.set_nodelay(true);
            let (exchange, upstream) = (self.exchange.clone(), self.upstream.clone());
            let service = service_fn(move |request| handle(exchange.clone(), upstream.clone(), request));
            let connection = server::Builder::new().serve_connection(TokioIo::new(stream), service);
            let connection = graceful.watch(connection);
            tokio::spawn(async move {
                // A caller that goes away, and a connection that is to break, end here.
                let _ = connection.await;
            });
        }
        let _ = tokio::time::timeout(GRACE, graceful.shutdown()).await;
    }
}

/// What ends a connection without an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection breaks as the fault says")]
struct Breaks;

async fn handle(
    exchange: Exchange,
    upstream: Option<Upstream>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Breaks> {
    let (parts, body) = request.into_parts();
    let body = match Limited::new(body, LARGEST).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => {
            return Ok(plain(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large"));
        }
        Err(_) => return Err(Breaks),
    };
    let request = Request::from_parts(parts, body);
    match upstream {
        Some(upstream) if !Endpoint::models(&request) => {
            let answer = upstream.forward(request).await;
            Ok(answer.unwrap_or_else(|text| plain(StatusCode::BAD_GATEWAY, &text)))
        }
        _ => match exchange.send(request).await {
            Ok(answer) => Ok(answer.map(Full::new)),
            Err(_) => Err(Breaks),
        },
    }
}

fn plain(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(Bytes::copy_from_slice(text.as_bytes())));
    *answer.status_mut() = status;
    answer.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    answer
}
