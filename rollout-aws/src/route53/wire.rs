//! One DNS question to one server: UDP, TCP when the answer is cut, no recursion. An answer counts only when it comes
//! from the server that was asked, carries the question's id and repeats the question.

use core::fmt;
use core::time::Duration;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::{Instant, timeout_at};

use super::text::{plain_name, unescape};

/// The longest wait for one try. A datagram may be lost, so there are [`TRIES`].
pub(super) const PATIENCE: Duration = Duration::from_secs(2);
const TRIES: u32 = 2;
/// The largest datagram that crosses every path unfragmented (DNS flag day 2020).
const PAYLOAD: u16 = 1232;

/// A value in a form that can be compared: what Route 53 writes and what a server sends come to the same.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Value {
    /// A and AAAA.
    Address(IpAddr),
    /// CNAME, NS, PTR.
    Name(String),
    /// TXT: its strings.
    Text(Vec<Vec<u8>>),
    /// Other types, as text.
    Other(String),
}

impl Value {
    /// A value as Route 53 writes it.
    pub(super) fn written(kind: RecordType, text: &str) -> Self {
        match kind {
            RecordType::A | RecordType::AAAA => text
                .trim()
                .parse()
                .map_or_else(|_| Self::other(text), Self::Address),
            RecordType::CNAME | RecordType::NS | RecordType::PTR => Self::Name(plain_name(text.trim())),
            RecordType::TXT => Self::Text(strings(text)),
            _ => Self::other(text),
        }
    }

    /// A value as a server sent it.
    fn sent(data: &RData) -> Self {
        match data {
            RData::A(v4) => Self::Address(IpAddr::V4(v4.0)),
            RData::AAAA(v6) => Self::Address(IpAddr::V6(v6.0)),
            RData::CNAME(name) => Self::Name(plain_name(&name.to_string())),
            RData::NS(name) => Self::Name(plain_name(&name.to_string())),
            RData::PTR(name) => Self::Name(plain_name(&name.to_string())),
            RData::TXT(text) => Self::Text(text.txt_data.iter().map(|s| s.to_vec()).collect()),
            other => Self::other(&other.to_string()),
        }
    }

    fn other(text: &str) -> Self {
        let words: Vec<&str> = text
            .split_whitespace()
            .map(|word| word.strip_suffix('.').unwrap_or(word))
            .collect();
        Self::Other(words.join(" ").to_ascii_lowercase())
    }

    /// Whether a difference between two of these means that they differ: the text of other types may have several forms.
    pub(super) const fn is_exact(&self) -> bool {
        !matches!(self, Self::Other(_))
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => write!(f, "{address}"),
            Self::Name(text) | Self::Other(text) => f.write_str(text),
            Self::Text(strings) => {
                let strings: Vec<String> = strings
                    .iter()
                    .map(|s| format!("\"{}\"", s.escape_ascii()))
                    .collect();
                f.write_str(&strings.join(" "))
            }
        }
    }
}

/// The strings of a TXT value as Route 53 writes it: each in quotation marks, `\"` and `\ooo` within.
fn strings(text: &str) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    let mut current: Option<String> = None;
    let mut characters = text.trim().chars();
    while let Some(character) = characters.next() {
        match (&mut current, character) {
            (None, '"') => current = Some(String::new()),
            (Some(inside), '\\') => {
                inside.push('\\');
                inside.extend(characters.next());
            }
            (Some(inside), '"') => {
                found.push(unescape(inside));
                current = None;
            }
            (Some(inside), character) => inside.push(character),
            // Between two strings.
            (None, _) => {}
        }
    }
    found
}

/// What a server said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    /// The response code, as its name.
    pub code: Code,
    /// Whether the server speaks for the zone. `None` where the source does not tell.
    pub authoritative: Option<bool>,
    /// The smallest TTL of the values. `None` where there is no value or the source does not tell.
    pub ttl: Option<u32>,
    /// The values, sorted.
    pub values: Vec<Value>,
}

/// A response code, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Code {
    /// There is an answer, if an empty one.
    NoError,
    /// The name does not exist.
    NameDoesNotExist,
    /// The server did not answer the question.
    Other(String),
}

/// A question.
#[derive(Clone, Debug)]
pub(super) struct Question {
    name: Name,
    pub(super) kind: RecordType,
}

impl Question {
    /// A question for a name and type. `None` when DNS has no such name or type.
    pub(super) fn new(name: &str, kind: &str) -> Option<Self> {
        let mut name = Name::from_ascii(name).ok()?;
        name.set_fqdn(true);
        let kind = kind.parse().ok()?;
        Some(Self { name, kind })
    }

    /// The name that is asked for.
    pub(super) fn name(&self) -> String {
        self.name.to_ascii()
    }
}

/// Asks, at most [`TRIES`] times.
///
/// # Errors
/// Why there is no answer, in words.
pub(super) async fn ask(server: SocketAddr, question: &Question) -> Result<Reply, String> {
    let answer = exchange(server, question, false).await?;
    Ok(read(question, &answer))
}

/// Asks, at most [`TRIES`] times, and gives the whole answer. `recursive` lets the server ask others.
///
/// # Errors
/// Why there is no answer, in words.
pub(super) async fn exchange(
    server: SocketAddr,
    question: &Question,
    recursive: bool,
) -> Result<Message, String> {
    let mut why = String::new();
    for _ in 0..TRIES {
        match try_once(server, question, recursive).await {
            Ok(answer) => return Ok(answer),
            Err(error) => why = error.to_string(),
        }
    }
    Err(why)
}

async fn try_once(server: SocketAddr, question: &Question, recursive: bool) -> io::Result<Message> {
    let deadline = Instant::now() + PATIENCE;
    let query = query(question, recursive);
    let wire = query.to_vec().map_err(io::Error::other)?;
    let late = || io::Error::new(io::ErrorKind::TimedOut, "no answer in time");
    let answer = timeout_at(deadline, over_udp(server, &query, &wire))
        .await
        .map_err(|_| late())??;
    if answer.metadata.truncation {
        return timeout_at(deadline, over_tcp(server, &query, &wire))
            .await
            .map_err(|_| late())?;
    }
    Ok(answer)
}

/// The id is random (from the message type's own constructor): with the port, it is what a forger would have to guess.
fn query(question: &Question, recursive: bool) -> Message {
    let mut edns = Edns::new();
    edns.set_max_payload(PAYLOAD);
    let mut message = Message::query();
    message.metadata.recursion_desired = recursive;
    message.add_query(Query::query(question.name.clone(), question.kind));
    message.set_edns(edns);
    message
}

async fn over_udp(server: SocketAddr, query: &Message, wire: &[u8]) -> io::Result<Message> {
    let local: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((local, 0)).await?;
    // A connected socket receives from this server only.
    socket.connect(server).await?;
    socket.send(wire).await?;
    let mut buffer = vec![0; usize::from(u16::MAX)];
    loop {
        let length = socket.recv(&mut buffer).await?;
        let received = buffer.get(..length).unwrap_or_default();
        // What does not belong to the question is a late or forged datagram: the true one may still come.
        if let Ok(message) = Message::from_vec(received)
            && belongs(query, &message)
        {
            return Ok(message);
        }
    }
}

async fn over_tcp(server: SocketAddr, query: &Message, wire: &[u8]) -> io::Result<Message> {
    let mut stream = TcpStream::connect(server).await?;
    let length = u16::try_from(wire.len()).map_err(io::Error::other)?;
    let mut framed = length.to_be_bytes().to_vec();
    framed.extend_from_slice(wire);
    stream.write_all(&framed).await?;
    let mut buffer = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut buffer).await?;
    let message = Message::from_vec(&buffer).map_err(io::Error::other)?;
    if belongs(query, &message) {
        Ok(message)
    } else {
        Err(io::Error::other("the answer is to another question"))
    }
}

fn belongs(query: &Message, answer: &Message) -> bool {
    answer.metadata.message_type == MessageType::Response
        && answer.metadata.op_code == OpCode::Query
        && answer.metadata.id == query.metadata.id
        && answer.queries == query.queries
}

/// The name servers that a message sends those on to who ask for this name: as an answer, or as a referral.
#[cfg(feature = "readiness")]
pub(super) fn referred(question: &Question, answer: &Message) -> Vec<String> {
    let records = answer.answers.iter().chain(&answer.authorities);
    let servers = records.filter(|record| record.name == question.name);
    let mut names: Vec<String> = servers
        .filter_map(|record| match &record.data {
            RData::NS(name) => Some(plain_name(&name.to_string())),
            _ => None,
        })
        .collect();
    names.sort();
    names.dedup();
    names
}

/// What the message says about the question.
pub(super) fn read(question: &Question, answer: &Message) -> Reply {
    let records = || {
        answer
            .answers
            .iter()
            .filter(|record| record.name == question.name && record.record_type() == question.kind)
    };
    let mut values: Vec<Value> = records().map(|record| Value::sent(&record.data)).collect();
    values.sort();
    values.dedup();
    Reply {
        code: match answer.metadata.response_code {
            ResponseCode::NoError => Code::NoError,
            ResponseCode::NXDomain => Code::NameDoesNotExist,
            other => Code::Other(format!("{other:?}")),
        },
        authoritative: Some(answer.metadata.authoritative),
        ttl: records().map(|record| record.ttl).min(),
        values,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_values_are_what_servers_send() {
        assert_eq!(
            Value::written(RecordType::AAAA, "2001:DB8:0::1"),
            Value::Address("2001:db8::1".parse().expect("an address"))
        );
        assert_eq!(
            Value::written(RecordType::CNAME, "New.Example.com"),
            Value::written(RecordType::CNAME, "new.example.com.")
        );
        assert_eq!(
            Value::written(RecordType::TXT, "\"a b\" \"say \\\"c\\\" \\101\""),
            Value::Text(vec![b"a b".to_vec(), b"say \"c\" A".to_vec()])
        );
        assert_eq!(
            Value::written(RecordType::MX, "10  Mail.example.com."),
            Value::Other("10 mail.example.com".to_owned())
        );
    }
}
