//! One small GET over loopback. Health checks need no more than the status line.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// Longest wait for one step of one check; a healthy emulator answers in milliseconds.
const STEP: Duration = Duration::from_secs(2);

/// The status code of `GET path` on 127.0.0.1, or `None` when there is no HTTP answer.
pub(crate) fn get_status(port: u16, path: &str) -> Option<u16> {
    let mut stream = TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), STEP).ok()?;
    stream.set_read_timeout(Some(STEP)).ok()?;
    stream.set_write_timeout(Some(STEP)).ok()?;
    // One write: a server may look at the first packet only.
    let request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut head = Vec::new();
    let mut chunk = [0; 64];
    while head.len() < 64 && !head.contains(&b'\n') {
        match stream.read(&mut chunk).ok()? {
            0 => break,
            n => head.extend_from_slice(&chunk[..n]),
        }
    }
    parse_status_line(&head)
}

fn parse_status_line(head: &[u8]) -> Option<u16> {
    let line = std::str::from_utf8(head.split(|&b| b == b'\r' || b == b'\n').next()?).ok()?;
    let mut words = line.split(' ');
    words.next()?.strip_prefix("HTTP/1.")?;
    words.next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;
    use std::thread;

    #[test]
    fn reads_the_status_of_an_answer() {
        assert_eq!(parse_status_line(b"HTTP/1.1 200 OK\r\nServer: x"), Some(200));
        assert_eq!(parse_status_line(b"HTTP/1.0 503"), Some(503));
        assert_eq!(parse_status_line(b"SSH-2.0-OpenSSH\r\n"), None);
        assert_eq!(parse_status_line(b""), None);
    }

    #[test]
    fn asks_a_server_and_survives_none() {
        let server = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let port = server.local_addr().expect("an address").port();
        let answer = thread::spawn(move || {
            let (mut stream, _) = server.accept().expect("a caller");
            let mut request = [0; 256];
            let n = stream.read(&mut request).expect("a request");
            stream
                .write_all(b"HTTP/1.1 204 No Content\r\n\r\n")
                .expect("an answer");
            String::from_utf8_lossy(&request[..n]).into_owned()
        });
        assert_eq!(get_status(port, "/health"), Some(204));
        assert!(
            answer
                .join()
                .expect("the server")
                .starts_with("GET /health HTTP/1.1\r\n")
        );
        assert_eq!(get_status(port, "/health"), None);
    }
}
