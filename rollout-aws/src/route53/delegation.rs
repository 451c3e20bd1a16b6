//! Whom the world is sent to for a zone: what its parent says.

use core::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use async_trait::async_trait;
use hickory_proto::op::ResponseCode;

use super::authority::DNS_PORT;
use super::wire::{self, Question};
use crate::resolve::{Resolve, SystemResolver};

/// Says which name servers the parent of a zone sends the world to.
#[async_trait]
pub trait Delegation: fmt::Debug + Send + Sync {
    /// Their names, sorted, without the dot at the end; `None` when the parent sends nobody on.
    ///
    /// # Errors
    /// Why it cannot be known, in words.
    async fn name_servers(&self, zone: &str) -> Result<Option<Vec<String>>, String>;
}

/// Asks the parent's own name servers, so that nothing that is cached, and nothing that the zone says of itself, is the answer.
#[derive(Clone)]
pub struct ParentServers {
    recursive: SocketAddr,
    resolver: Arc<dyn Resolve>,
}

impl fmt::Debug for ParentServers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ParentServers")
            .field("recursive", &self.recursive)
            .finish_non_exhaustive()
    }
}

/// Servers of the parent that are asked before giving up.
const SERVERS: usize = 3;

impl ParentServers {
    /// Finds the parent's servers by a server that asks others, and their addresses by the operating system's resolver.
    #[must_use]
    pub fn new(recursive: SocketAddr) -> Self {
        Self {
            recursive,
            resolver: Arc::new(SystemResolver),
        }
    }

    /// With the first server of `/etc/resolv.conf`, which the systems that have it ask.
    ///
    /// # Errors
    /// There is no such file, or no server in it.
    pub fn of_system() -> io::Result<Self> {
        let text = std::fs::read_to_string("/etc/resolv.conf")?;
        let server = first_server(&text);
        let server = server.ok_or_else(|| io::Error::other("/etc/resolv.conf names no server"))?;
        Ok(Self::new(SocketAddr::new(server, DNS_PORT)))
    }

    /// The same with another resolver.
    #[must_use]
    pub fn with_resolver(mut self, resolver: Arc<dyn Resolve>) -> Self {
        self.resolver = resolver;
        self
    }

    /// The name servers of the nearest zone above a name.
    async fn parents(&self, zone: &str) -> Result<Vec<String>, String> {
        let mut name = zone;
        while let Some((_, above)) = name.split_once('.') {
            name = above;
            let question = question(above)?;
            let answer = wire::exchange(self.recursive, &question, true).await?;
            let servers = wire::referred(&question, &answer);
            if !servers.is_empty() {
                return Ok(servers);
            }
        }
        Err(format!("no zone above {zone} has name servers"))
    }

    async fn ask(&self, server: &str, question: &Question) -> Result<Option<Vec<String>>, String> {
        let found = self.resolver.resolve(server, DNS_PORT).await;
        let found = found.map_err(|error| format!("{server} cannot be looked up: {error}"))?;
        let address = found
            .iter()
            .find(|address| address.is_ipv4())
            .or_else(|| found.first());
        let address = address.ok_or_else(|| format!("{server} has no address"))?;
        let answer = wire::exchange(*address, question, false).await;
        let answer = answer.map_err(|why| format!("{server}: {why}"))?;
        let servers = wire::referred(question, &answer);
        match answer.metadata.response_code {
            ResponseCode::NoError if !servers.is_empty() => Ok(Some(servers)),
            ResponseCode::NoError | ResponseCode::NXDomain => Ok(None),
            other => Err(format!("{server}: {other}")),
        }
    }
}

fn question(name: &str) -> Result<Question, String> {
    Question::new(name, "NS").ok_or_else(|| format!("{name} is no name of DNS"))
}

/// The first `nameserver` (resolv.conf(5)).
fn first_server(text: &str) -> Option<IpAddr> {
    text.lines()
        .filter_map(|line| line.trim().strip_prefix("nameserver"))
        .find_map(|rest| rest.trim().parse().ok())
}

#[async_trait]
impl Delegation for ParentServers {
    async fn name_servers(&self, zone: &str) -> Result<Option<Vec<String>>, String> {
        let question = question(zone)?;
        let mut why = "its parent has no name servers".to_owned();
        for server in self.parents(zone).await?.iter().take(SERVERS) {
            match self.ask(server, &question).await {
                Ok(answer) => return Ok(answer),
                Err(error) => why = error,
            }
        }
        Err(why)
    }
}

#[cfg(test)]
mod tests {
    use hickory_proto::op::{Message, MessageType};
    use hickory_proto::rr::rdata::NS;
    use hickory_proto::rr::{Name, RData, Record};
    use tokio::net::UdpSocket;

    use super::*;

    /// One server for both parts: it tells the parent's servers to who lets it ask others, and sends everybody else on.
    async fn server(socket: UdpSocket) {
        let mut buffer = vec![0; 4_096];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            let question = Message::from_vec(buffer.get(..length).expect("what came")).expect("a question");
            let asked = question.queries.first().expect("one question").name().clone();
            let mut answer = question.clone();
            answer.metadata.message_type = MessageType::Response;
            let record = |to: &str| {
                let to = Name::from_ascii(to).expect("a name");
                Record::from_rdata(asked.clone(), 60, RData::NS(NS(to)))
            };
            match (question.metadata.recursion_desired, asked.to_ascii().as_str()) {
                (true, "example.com.") => answer.answers.push(record("parent.example.net.")),
                (false, "shop.example.com.") => {
                    answer.authorities.push(record("NS-2.awsdns-02.net."));
                    answer.authorities.push(record("ns-1.awsdns-01.com."));
                }
                (false, _) => answer.metadata.response_code = ResponseCode::NXDomain,
                (true, _) => {}
            }
            let wire = answer.to_vec().expect("an answer");
            socket.send_to(&wire, from).await.expect("sent");
        }
    }

    #[tokio::test]
    async fn the_parent_is_asked_whom_it_sends_on_to() {
        let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
        let address = socket.local_addr().expect("an address");
        let serving = tokio::spawn(server(socket));
        let resolver = move |host: &str, _port: u16| {
            if host == "parent.example.net" {
                Ok(vec![address])
            } else {
                Err(io::Error::other("unknown"))
            }
        };
        let parents = ParentServers::new(address).with_resolver(Arc::new(resolver));
        let servers = ["ns-1.awsdns-01.com", "ns-2.awsdns-02.net"].map(ToOwned::to_owned);
        assert_eq!(
            parents.name_servers("shop.example.com").await,
            Ok(Some(servers.to_vec()))
        );
        assert_eq!(parents.name_servers("gone.example.com").await, Ok(None));
        // Two labels are missing between it and its parent.
        assert_eq!(parents.name_servers("a.b.example.com").await, Ok(None));
        let none = parents.name_servers("example.org").await;
        assert_eq!(none, Err("no zone above example.org has name servers".to_owned()));
        serving.abort();
    }

    #[test]
    fn the_systems_server_is_read() {
        assert_eq!(first_server("# none\nsearch x\n"), None);
        let text = "search x\nnameserver fe80::1%eth0\nnameserver 10.0.0.2\n";
        assert_eq!(first_server(text), Some("10.0.0.2".parse().expect("an address")));
    }
}
