//! Whose a connection is when proxies stand in between: blocks of trusted addresses, what
//! `X-Forwarded-For` says, and what counts as one client.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// Bits of an IPv6 address that name one customer: a household or a server gets a /64, and may use
/// any address of it.
const V6_CLIENT_BITS: u32 = 64;

/// A block of addresses, such as `10.0.0.0/8`; a single address is a block too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressBlock {
    base: IpAddr,
    bits: u32,
}

/// A text that is no block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoBlock;

impl fmt::Display for NoBlock {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("is no address and no block of them: 10.0.0.7, 10.0.0.0/8, fd00::/8")
    }
}

impl FromStr for AddressBlock {
    type Err = NoBlock;

    fn from_str(text: &str) -> Result<Self, NoBlock> {
        let (base, bits) = match text.split_once('/') {
            Some((base, bits)) => (base, Some(bits.parse::<u32>().map_err(|_| NoBlock)?)),
            None => (text, None),
        };
        let base: IpAddr = base.parse().map_err(|_| NoBlock)?;
        let width = width(base);
        let bits = bits.unwrap_or(width);
        if bits > width {
            return Err(NoBlock);
        }
        Ok(Self { base: masked(base, bits), bits })
    }
}

impl AddressBlock {
    /// Whether an address lies in it.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        width(address) == width(self.base) && masked(address, self.bits) == self.base
    }
}

/// Whether an address lies in any of the blocks.
#[must_use]
pub fn is_in_any(blocks: &[AddressBlock], address: IpAddr) -> bool {
    blocks.iter().any(|block| block.contains(address))
}

/// The client that the values of `X-Forwarded-For` name, in order, given that a trusted proxy sent
/// them: the last address that is no trusted proxy. What stands before it, a client may have
/// written itself. `None` where there is none, or one that cannot be read.
#[must_use]
pub fn forwarded_client<'a>(
    values: impl DoubleEndedIterator<Item = &'a str>,
    trusted: &[AddressBlock],
) -> Option<IpAddr> {
    for entry in values.rev().flat_map(|value| value.rsplit(',')) {
        let address = plain_address(entry.trim())?;
        if !is_in_any(trusted, address) {
            return Some(address);
        }
    }
    None
}

/// An address as proxies write it: with a port or without, IPv6 in brackets or without.
fn plain_address(text: &str) -> Option<IpAddr> {
    let address = text.parse::<IpAddr>().ok();
    let address = address.or_else(|| Some(text.parse::<std::net::SocketAddr>().ok()?.ip()));
    let bare = || text.strip_prefix('[')?.strip_suffix(']')?.parse::<IpAddr>().ok();
    Some(address.or_else(bare)?.to_canonical())
}

/// What counts as one client: an IPv4 address, or the first 64 bits of an IPv6 one.
#[must_use]
pub fn client_key(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        v4 @ IpAddr::V4(_) => v4,
        v6 @ IpAddr::V6(_) => masked(v6, V6_CLIENT_BITS),
    }
}

fn width(address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(_) => Ipv4Addr::BITS,
        IpAddr::V6(_) => Ipv6Addr::BITS,
    }
}

fn masked(address: IpAddr, bits: u32) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(Ipv4Addr::BITS - bits).unwrap_or(0);
            Ipv4Addr::from_bits(v4.to_bits() & mask).into()
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(Ipv6Addr::BITS - bits).unwrap_or(0);
            Ipv6Addr::from_bits(v6.to_bits() & mask).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn block(text: &str) -> AddressBlock {
        text.parse().unwrap()
    }

    #[test]
    fn a_block_holds_its_addresses_and_no_others() {
        assert!(block("10.1.2.3/8").contains(ip("10.255.0.1")));
        assert!(!block("10.0.0.0/8").contains(ip("11.0.0.1")));
        assert!(block("10.0.0.7").contains(ip("10.0.0.7")));
        assert!(!block("10.0.0.7").contains(ip("10.0.0.8")));
        assert!(block("10.0.0.7").contains(ip("::ffff:10.0.0.7")), "the same in IPv6's clothes");
        assert!(block("0.0.0.0/0").contains(ip("1.2.3.4")));
        assert!(!block("0.0.0.0/0").contains(ip("::1")));
        assert!(block("fd00::/8").contains(ip("fdff::1")));
        assert!(!block("fd00::/8").contains(ip("fe00::1")));
        assert!(block("::/0").contains(ip("fe00::1")));
        for wrong in ["", "10.0.0.0/33", "::/129", "10.0.0", "a/8", "10.0.0.0/", "10.0.0.0/-1"] {
            assert_eq!(wrong.parse::<AddressBlock>(), Err(NoBlock), "{wrong}");
        }
    }

    #[test]
    fn what_a_client_writes_into_the_header_itself_counts_for_nothing() {
        let trusted = [block("10.0.0.0/8")];
        let client = |values: &[&str]| forwarded_client(values.iter().copied(), &trusted);
        assert_eq!(client(&["203.0.113.9"]), Some(ip("203.0.113.9")));
        assert_eq!(client(&["1.1.1.1, 203.0.113.9"]), Some(ip("203.0.113.9")));
        assert_eq!(client(&["1.1.1.1, 203.0.113.9, 10.2.3.4"]), Some(ip("203.0.113.9")));
        assert_eq!(client(&["1.1.1.1", "203.0.113.9,10.2.3.4"]), Some(ip("203.0.113.9")));
        assert_eq!(client(&["203.0.113.9:5123"]), Some(ip("203.0.113.9")));
        assert_eq!(client(&["[2001:db8::1]:443"]), Some(ip("2001:db8::1")));
        assert_eq!(client(&["[2001:db8::1]"]), Some(ip("2001:db8::1")));
        assert_eq!(client(&["10.1.1.1"]), None, "only proxies");
        assert_eq!(client(&["1.1.1.1, unknown"]), None, "what cannot be read hides the rest");
        assert_eq!(client(&[]), None);
    }

    #[test]
    fn a_client_is_an_address_or_a_block_of_64_bits() {
        assert_eq!(client_key(ip("203.0.113.9")), ip("203.0.113.9"));
        assert_eq!(client_key(ip("::ffff:203.0.113.9")), ip("203.0.113.9"));
        assert_eq!(client_key(ip("2001:db8:1:2:3:4:5:6")), ip("2001:db8:1:2::"));
    }
}
