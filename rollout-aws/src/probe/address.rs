//! Which addresses a probe may connect to.

use core::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// Why an address is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AddressClass {
    /// Credentials or metadata of the machine or task: EC2 instance metadata (`169.254.169.254`, `fd00:ec2::254`), ECS task
    /// credentials (`169.254.170.2`), EKS pod identity (`169.254.170.23`, `fd00:ec2::23`). Never allowed, by no list.
    Metadata,
    /// `169.254.0.0/16`, `fe80::/10`.
    LinkLocal,
    /// `127.0.0.0/8`, `::1`.
    Loopback,
    /// `0.0.0.0/8`, `::`. Linux connects them to the machine itself.
    Unspecified,
    /// `224.0.0.0/4`, `ff00::/8`, and the broadcast address.
    Multicast,
}

impl fmt::Display for AddressClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Metadata => "a metadata address",
            Self::LinkLocal => "a link-local address",
            Self::Loopback => "a loopback address",
            Self::Unspecified => "an unspecified address",
            Self::Multicast => "a multicast or broadcast address",
        })
    }
}

/// An address that a probe must not connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressRefused {
    /// The address as it was found.
    pub address: IpAddr,
    /// What it is. Of an IPv6 form that carries an IPv4 address, what the carried one is.
    pub class: AddressClass,
}

impl fmt::Display for AddressRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { address, class } = self;
        match class {
            AddressClass::Metadata => write!(f, "{address} is {class}, which no probe may reach"),
            AddressClass::LinkLocal
            | AddressClass::Loopback
            | AddressClass::Unspecified
            | AddressClass::Multicast => write!(
                f,
                "{address} is {class}; if this environment's probes may reach it, put its network into `allow_addresses`"
            ),
        }
    }
}

impl std::error::Error for AddressRefused {}

/// Which addresses a probe may connect to (invariant I-29): any but those of [`AddressClass`], and of those the ones that
/// the environment allows by network, metadata excepted. Private networks are allowed: load balancers live there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddressPolicy {
    allowed: Vec<IpNet>,
}

impl AddressPolicy {
    /// The policy of an environment that allows these networks beyond the usual.
    #[must_use]
    pub fn new(allowed: impl IntoIterator<Item = IpNet>) -> Self {
        Self {
            allowed: allowed.into_iter().collect(),
        }
    }

    /// Whether a probe may connect to this address. IPv6 forms that carry an IPv4 address (mapped, compatible, NAT64,
    /// 6to4, Teredo) are judged by both.
    ///
    /// # Errors
    /// [`AddressRefused`] says what the address is.
    pub fn check(&self, address: IpAddr) -> Result<(), AddressRefused> {
        let forms = [Some(address), carried(address).map(IpAddr::V4)];
        for form in forms.into_iter().flatten() {
            let Some(class) = class(form) else { continue };
            let allowed =
                class != AddressClass::Metadata && self.allowed.iter().any(|network| network.contains(&form));
            if !allowed {
                return Err(AddressRefused { address, class });
            }
        }
        Ok(())
    }
}

/// What an address is, if it is one of the refused classes.
fn class(address: IpAddr) -> Option<AddressClass> {
    match address {
        IpAddr::V4(v4) => class_v4(v4),
        IpAddr::V6(v6) => class_v6(v6),
    }
}

fn class_v4(address: Ipv4Addr) -> Option<AddressClass> {
    match address.octets() {
        [169, 254, 169, 254] | [169, 254, 170, 2 | 23] => Some(AddressClass::Metadata),
        [169, 254, ..] => Some(AddressClass::LinkLocal),
        [127, ..] => Some(AddressClass::Loopback),
        [0, ..] => Some(AddressClass::Unspecified),
        [224..=239, ..] | [255, 255, 255, 255] => Some(AddressClass::Multicast),
        _ => None,
    }
}

fn class_v6(address: Ipv6Addr) -> Option<AddressClass> {
    // `fd00:ec2::/32` is the EC2 platform's own: metadata, pod identity, time, the VPC's resolver. No workload lives there.
    const PLATFORM: [u16; 2] = [0xfd00, 0x0ec2];
    let segments = address.segments();
    if address.is_unspecified() {
        Some(AddressClass::Unspecified)
    } else if address.is_loopback() {
        Some(AddressClass::Loopback)
    } else if segments.starts_with(&PLATFORM) {
        Some(AddressClass::Metadata)
    } else if address.is_unicast_link_local() {
        Some(AddressClass::LinkLocal)
    } else if address.is_multicast() {
        Some(AddressClass::Multicast)
    } else {
        None
    }
}

/// The IPv4 address that an IPv6 address carries, where its form is one that some network translates back.
fn carried(address: IpAddr) -> Option<Ipv4Addr> {
    let IpAddr::V6(v6) = address else { return None };
    if v6.is_unspecified() || v6.is_loopback() {
        return None;
    }
    let [a, b, c, d, e, f, g, h] = v6.segments();
    let v4 = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match (a, b) {
        // Mapped, and the older "compatible" form.
        (0, 0) if (c, d, e) == (0, 0, 0) && (f == 0xffff || f == 0) => Some(v4(g, h)),
        // NAT64, the well-known prefix (RFC 6052) and the local one (RFC 8215, with 96 bits of prefix).
        (0x64, 0xff9b) => Some(v4(g, h)),
        // 6to4 (RFC 3056).
        (0x2002, _) => Some(v4(b, c)),
        // Teredo (RFC 4380) stores it inverted.
        (0x2001, 0) => Some(v4(!g, !h)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(policy: &AddressPolicy, text: &str) -> Option<AddressClass> {
        policy
            .check(text.parse().expect("an address"))
            .err()
            .map(|refused| refused.class)
    }

    #[test]
    fn every_form_of_a_forbidden_address_is_refused() {
        use AddressClass::{LinkLocal, Loopback, Metadata, Multicast, Unspecified};
        let policy = AddressPolicy::default();
        for (text, expected) in [
            ("169.254.169.254", Metadata),
            ("169.254.170.2", Metadata),
            ("169.254.170.23", Metadata),
            ("fd00:ec2::254", Metadata),
            ("fd00:ec2::23", Metadata),
            ("169.254.0.1", LinkLocal),
            ("fe80::1", LinkLocal),
            ("febf::1", LinkLocal),
            ("127.0.0.1", Loopback),
            ("127.255.255.254", Loopback),
            ("::1", Loopback),
            ("0.0.0.0", Unspecified),
            ("0.1.2.3", Unspecified),
            ("::", Unspecified),
            ("224.0.0.1", Multicast),
            ("239.255.255.255", Multicast),
            ("255.255.255.255", Multicast),
            ("ff02::1", Multicast),
            ("::ffff:169.254.169.254", Metadata),
            ("::ffff:169.254.170.2", Metadata),
            ("::ffff:169.254.1.1", LinkLocal),
            ("::ffff:127.0.0.1", Loopback),
            ("::ffff:0.0.0.0", Unspecified),
            ("::ffff:224.0.0.1", Multicast),
            ("::127.0.0.1", Loopback),
            ("64:ff9b::169.254.169.254", Metadata),
            ("64:ff9b:1::7f00:1", Loopback),
            ("2002:a9fe:a9fe::1", Metadata),
            ("2002:7f00:1::1", Loopback),
            ("2001:0:4136:e378:8000:63bf:80ff:fffe", Loopback),
        ] {
            assert_eq!(check(&policy, text), Some(expected), "{text}");
        }
    }

    #[test]
    fn public_and_private_addresses_are_allowed() {
        let policy = AddressPolicy::default();
        for text in [
            "192.0.2.10",
            "10.0.0.7",
            "172.16.3.4",
            "192.168.1.1",
            "169.253.255.255",
            "169.255.0.0",
            "128.0.0.1",
            "2001:db8::1",
            "fd12:3456::1",
            "fec0::1",
            "::ffff:192.0.2.10",
            "64:ff9b::192.0.2.10",
        ] {
            assert_eq!(check(&policy, text), None, "{text}");
        }
    }

    #[test]
    fn the_environment_may_allow_networks_but_never_metadata() {
        let all = ["0.0.0.0/0", "::/0"].map(|network| network.parse::<IpNet>().expect("a network"));
        let policy = AddressPolicy::new(all);
        assert_eq!(check(&policy, "127.0.0.1"), None);
        assert_eq!(check(&policy, "::ffff:127.0.0.1"), None);
        assert_eq!(check(&policy, "169.254.1.1"), None);
        for text in [
            "169.254.169.254",
            "169.254.170.2",
            "::ffff:169.254.170.23",
            "fd00:ec2::254",
        ] {
            assert_eq!(check(&policy, text), Some(AddressClass::Metadata), "{text}");
        }
        let one = AddressPolicy::new(["127.0.0.1/32".parse().expect("a network")]);
        assert_eq!(check(&one, "127.0.0.1"), None);
        assert_eq!(check(&one, "127.0.0.2"), Some(AddressClass::Loopback));
        assert_eq!(check(&one, "::1"), Some(AddressClass::Loopback));
    }
}
