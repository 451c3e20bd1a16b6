//! Ports: a free one, and the proof that a process listens on loopback only.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use anyhow::{Context as _, Result, bail};

/// What looking at a process's listeners told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Exposure {
    /// Every listener is on a loopback address.
    LoopbackOnly(Vec<SocketAddr>),
    /// At least these are not.
    Exposed(Vec<SocketAddr>),
    /// This system has no `/proc/net/tcp`.
    NotChecked,
}

/// A port that is free on 127.0.0.1 at this moment.
pub(crate) fn free_port() -> Result<u16> {
    let probe = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("127.0.0.1 has no free port")?;
    Ok(probe.local_addr().context("127.0.0.1 has no free port")?.port())
}

/// Fails if something listens on the port already.
pub(crate) fn ensure_free(port: u16) -> Result<()> {
    match TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            bail!("127.0.0.1:{port} is in use by another program: stop it, or start with `--port auto`")
        }
        Err(error) => {
            Err(error).with_context(|| format!("127.0.0.1:{port} cannot be bound: use `--port auto`"))
        }
    }
}

/// Looks at every TCP listener of the process.
pub(crate) fn exposure(pid: u32) -> Exposure {
    let Ok(v4) = fs::read_to_string("/proc/net/tcp") else {
        return Exposure::NotChecked;
    };
    let v6 = fs::read_to_string("/proc/net/tcp6").unwrap_or_default();
    let Ok(sockets) = sockets_of(pid) else {
        return Exposure::NotChecked;
    };
    judge(parse_listeners(&v4).chain(parse_listeners(&v6)), &sockets)
}

fn judge(listeners: impl Iterator<Item = (SocketAddr, u64)>, own: &HashSet<u64>) -> Exposure {
    let (inside, outside): (Vec<_>, Vec<_>) = listeners
        .filter(|(_, inode)| own.contains(inode))
        .map(|(address, _)| address)
        .partition(|address| is_loopback(address.ip()));
    if outside.is_empty() {
        Exposure::LoopbackOnly(inside)
    } else {
        Exposure::Exposed(outside)
    }
}

fn is_loopback(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_loopback(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.to_ipv4_mapped().is_some_and(|v4| v4.is_loopback()),
    }
}

fn sockets_of(pid: u32) -> io::Result<HashSet<u64>> {
    let mut inodes = HashSet::new();
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))? {
        // A descriptor may be closed between the listing and the look.
        let Ok(link) = fs::read_link(entry?.path()) else {
            continue;
        };
        let inode: Option<u64> = link
            .to_str()
            .and_then(|l| l.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok());
        inodes.extend(inode);
    }
    Ok(inodes)
}

/// Listening sockets and their inodes, from the text of `/proc/net/tcp` or `/proc/net/tcp6`.
fn parse_listeners(table: &str) -> impl Iterator<Item = (SocketAddr, u64)> {
    const LISTEN: &str = "0A";
    table.lines().skip(1).filter_map(|line| {
        let mut fields = line.split_whitespace();
        let local = fields.nth(1)?;
        let state = fields.nth(1)?;
        let inode = fields.nth(5)?.parse().ok()?;
        (state == LISTEN)
            .then(|| parse_address(local).map(|address| (address, inode)))
            .flatten()
    })
}

/// `0100007F:11D6`: each group of 32 bits is in the byte order of the machine, the port is not.
fn parse_address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let mut bytes = Vec::with_capacity(16);
    for group in address.as_bytes().chunks(8) {
        if group.len() != 8 {
            return None;
        }
        let word = u32::from_str_radix(std::str::from_utf8(group).ok()?, 16).ok()?;
        bytes.extend_from_slice(&word.to_ne_bytes());
    }
    let ip = match bytes.len() {
        4 => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?)),
        16 => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?)),
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str =
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";

    fn row(local: &str, state: &str, inode: u64) -> String {
        format!(
            "   0: {local} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000     0        0 {inode} 1 0000000000000000 100 0 0 10 0\n"
        )
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn reads_listeners_and_skips_connections() {
        let table = [
            HEAD.to_owned(),
            row("0100007F:11D6", "0A", 77),
            row("0100007F:11D6", "01", 78),
            row("00000000:0016", "0A", 79),
        ]
        .concat();
        let found: Vec<_> = parse_listeners(&table).collect();
        assert_eq!(
            found,
            [
                ("127.0.0.1:4566".parse().expect("v4"), 77),
                ("0.0.0.0:22".parse().expect("v4"), 79)
            ]
        );
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn reads_the_sixteen_bytes_of_v6() {
        assert_eq!(
            parse_address("00000000000000000000000001000000:1388"),
            "[::1]:5000".parse().ok()
        );
        assert_eq!(
            parse_address("0000000000000000FFFF00000100007F:0050"),
            "[::ffff:127.0.0.1]:80".parse().ok()
        );
        assert_eq!(parse_address("0000:0050"), None);
        assert_eq!(parse_address("nonsense"), None);
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn judges_only_the_sockets_of_the_process() {
        let table = [
            HEAD.to_owned(),
            row("0100007F:11D6", "0A", 1),
            row("00000000:0016", "0A", 2),
        ]
        .concat();
        let loopback = "127.0.0.1:4566".parse().expect("v4");
        let open = "0.0.0.0:22".parse().expect("v4");
        assert_eq!(
            judge(parse_listeners(&table), &HashSet::from([1])),
            Exposure::LoopbackOnly(vec![loopback])
        );
        assert_eq!(
            judge(parse_listeners(&table), &HashSet::from([1, 2])),
            Exposure::Exposed(vec![open])
        );
        assert_eq!(
            judge(parse_listeners(&table), &HashSet::new()),
            Exposure::LoopbackOnly(vec![])
        );
    }

    #[test]
    fn a_free_port_is_free_until_it_is_taken() {
        let port = free_port().expect("a port");
        ensure_free(port).expect("free");
        let _taken = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("the port");
        let error = ensure_free(port).expect_err("in use").to_string();
        assert!(error.contains("--port auto"), "{error}");
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn sees_its_own_listeners() {
        let local = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = local.local_addr().expect("an address");
        match exposure(std::process::id()) {
            Exposure::LoopbackOnly(found) => assert!(found.contains(&address), "{found:?}"),
            other => panic!("{other:?}"),
        }
    }
}
