//! Names to addresses, once and visibly: what is connected to is what was looked up and checked.

use core::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};

use async_trait::async_trait;

/// Looks a host name up. Nothing is cached here: every call is one look-up.
#[async_trait]
pub trait Resolve: Send + Sync {
    /// The addresses of a host, each with `port`. A host without any address is an error or an empty list.
    ///
    /// # Errors
    /// What the resolver says.
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>>;
}

/// The operating system's resolver.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

#[async_trait]
impl Resolve for SystemResolver {
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        // An address literal needs no look-up.
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let mut found: Vec<SocketAddr> = Vec::new();
        for address in tokio::net::lookup_host((host, port)).await? {
            if !found.contains(&address) {
                found.push(address);
            }
        }
        Ok(found)
    }
}

/// A function: for test beds that know their hosts.
#[async_trait]
impl<F> Resolve for F
where
    F: Fn(&str, u16) -> io::Result<Vec<SocketAddr>> + Send + Sync,
{
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        self(host, port)
    }
}

/// Every name has this one address: for test beds, and for a load balancer that is asked before any record leads to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FixedResolver(pub IpAddr);

#[async_trait]
impl Resolve for FixedResolver {
    async fn resolve(&self, _host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok(vec![SocketAddr::new(self.0, port)])
    }
}

impl fmt::Debug for dyn Resolve {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Resolve")
    }
}
