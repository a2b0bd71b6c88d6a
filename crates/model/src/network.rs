//! Ranges of IP addresses, and those of them that are trusted to say where requests come from.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A range of addresses, written as `10.0.0.0/8` (RFC 4632) or `2001:db8::/32` (RFC 4291). One
/// address alone is written without a length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network {
    address: IpAddr,
    length: u8,
}

/// A text is not a range of addresses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadNetwork {
    /// It is not even an address.
    #[error("{0:?} is not a range of addresses, such as 10.0.0.0/8 or 2001:db8::/32")]
    Syntax(String),
    /// The address has bits that are not of the range, so one of the two is wrong.
    #[error("{0:?} has bits beyond its length: the range is {1}")]
    Beyond(String, Network),
    /// There are more ranges than anybody needs.
    #[error("there are more than {MOST_NETWORKS} ranges")]
    TooMany,
}

/// How many ranges can be trusted.
pub const MOST_NETWORKS: usize = 64;

impl Network {
    /// Checks `text`.
    ///
    /// # Errors
    /// It is not a range.
    pub fn new(text: &str) -> Result<Self, BadNetwork> {
        let syntax = || BadNetwork::Syntax(text.to_owned());
        let (address, length) = match text.split_once('/') {
            Some((address, length)) => (address, Some(length)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| syntax())?;
        let most = bits(address);
        let length = match length {
            None => most,
            // No sign and no zeros in front: one spelling for one range.
            Some(length) if length.len() > 3 || length.starts_with(['+', '-']) => {
                return Err(syntax());
            }
            Some(length) => length.parse().map_err(|_| syntax())?,
        };
        if length > most {
            return Err(syntax());
        }
        let network = Self {
            address: masked(address, length),
            length,
        };
        match network.address == address {
            true => Ok(network),
            false => Err(BadNetwork::Beyond(text.to_owned(), network)),
        }
    }

    /// Whether `address` is one of the range. An IPv4 address in IPv6's clothes counts as what it
    /// is.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        bits(address) == bits(self.address) && masked(address, self.length) == self.address
    }
}

fn bits(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// `address` with all but its first `length` bits cleared.
fn masked(address: IpAddr, length: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
            IpAddr::V4((v4.to_bits() & mask).into())
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
            IpAddr::V6((v6.to_bits() & mask).into())
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.length == bits(self.address) {
            true => write!(f, "{}", self.address),
            false => write!(f, "{}/{}", self.address, self.length),
        }
    }
}

impl TryFrom<String> for Network {
    type Error = BadNetwork;
    fn try_from(text: String) -> Result<Self, BadNetwork> {
        Self::new(&text)
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.to_string()
    }
}

/// Those who stand between clients and the edge and are believed what they say of a request: load
/// balancers and proxies. Written as ranges with commas between them, or as `none`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Vec<Network>", into = "Vec<Network>")]
pub struct TrustedHops(Vec<Network>);

impl TrustedHops {
    /// How nobody is written.
    pub const NONE: &'static str = "none";

    /// Whether nobody is trusted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether whoever has `address` is trusted.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }
}

impl FromStr for TrustedHops {
    type Err = BadNetwork;
    fn from_str(text: &str) -> Result<Self, BadNetwork> {
        if text == Self::NONE {
            return Ok(Self::default());
        }
        let networks: Result<Vec<_>, _> = text
            .split(',')
            .map(|network| Network::new(network.trim()))
            .collect();
        Self::try_from(networks?)
    }
}

impl fmt::Display for TrustedHops {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((first, others)) = self.0.split_first() else {
            return f.write_str(Self::NONE);
        };
        write!(f, "{first}")?;
        others
            .iter()
            .try_for_each(|network| write!(f, ",{network}"))
    }
}

impl TryFrom<Vec<Network>> for TrustedHops {
    type Error = BadNetwork;
    fn try_from(networks: Vec<Network>) -> Result<Self, BadNetwork> {
        match networks.len() <= MOST_NETWORKS {
            true => Ok(Self(networks)),
            false => Err(BadNetwork::TooMany),
        }
    }
}

impl From<TrustedHops> for Vec<Network> {
    fn from(hops: TrustedHops) -> Self {
        hops.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(network: &str, address: &str) -> bool {
        Network::new(network)
            .unwrap()
            .contains(address.parse().unwrap())
    }

    #[test]
    fn a_range_has_the_addresses_that_begin_as_it_does() {
        assert!(contains("10.0.0.0/8", "10.255.0.1") && !contains("10.0.0.0/8", "11.0.0.0"));
        assert!(contains("0.0.0.0/0", "192.0.2.1") && !contains("0.0.0.0/0", "::1"));
        assert!(contains("192.0.2.1", "192.0.2.1") && !contains("192.0.2.1", "192.0.2.2"));
        assert!(contains("10.0.0.0/8", "::ffff:10.1.2.3"));
        assert!(contains("2001:db8::/33", "2001:db8:7fff::1"));
        assert!(!contains("2001:db8::/33", "2001:db8:8000::1"));
        assert!(contains("::/0", "2001:db8::1") && !contains("::/0", "10.0.0.1"));
    }

    #[test]
    fn what_is_no_range_is_refused_and_what_is_has_one_spelling() {
        for bad in [
            "",
            "10",
            "10.0.0.0/",
            "10.0.0.0/33",
            "::/129",
            "a/8",
            "10.0.0.0/-1",
            "10.0.0.0/+8",
            "10.0.0.0/0008",
            "10.0.0.0/8/8",
            " 10.0.0.0/8",
            "010.0.0.0/8",
        ] {
            let error = Network::new(bad).unwrap_err();
            assert!(matches!(error, BadNetwork::Syntax(_)), "{bad:?}");
        }
        let error = Network::new("10.1.0.0/8").unwrap_err();
        assert!(error.to_string().ends_with("the range is 10.0.0.0/8"));
        for good in ["none", "10.0.0.0/8", "10.0.0.0/8,::1,2001:db8::/32"] {
            let hops: TrustedHops = good.parse().unwrap();
            assert_eq!(hops.to_string(), good);
            let json = serde_json::to_string(&hops).unwrap();
            assert_eq!(serde_json::from_str::<TrustedHops>(&json).unwrap(), hops);
        }
        let many = vec!["10.0.0.1"; MOST_NETWORKS + 1].join(",");
        assert_eq!(many.parse::<TrustedHops>(), Err(BadNetwork::TooMany));
        assert!("".parse::<TrustedHops>().is_err());
    }
}
