//! Bootstrap servers: from a text to hosts and ports.
//!
//! In: `host:port,host:port`. Out: the list, or which entry is wrong. Pure. Deliberately absent: name resolution.

use std::fmt;

use super::AdminError;
use crate::cluster::Broker;

/// Where a broker listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) host: String,
    pub(super) port: u16,
}

impl Address {
    pub(super) fn of(broker: &Broker) -> Self {
        Self { host: broker.host.to_string(), port: broker.port }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Parses a comma-separated list; empty entries are skipped, as in Java.
pub(super) fn parse_list(bootstrap: &str) -> Result<Vec<Address>, AdminError> {
    let entries = bootstrap.split(',').map(str::trim).filter(|entry| !entry.is_empty());
    let addresses = entries.map(parse).collect::<Result<Vec<_>, _>>()?;
    if addresses.is_empty() { Err(invalid(bootstrap, "it is empty")) } else { Ok(addresses) }
}

fn parse(entry: &str) -> Result<Address, AdminError> {
    let (host, port) = entry.rsplit_once(':').ok_or_else(|| invalid(entry, "it has no port"))?;
    let host = match host.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']').ok_or_else(|| invalid(entry, "its bracket is not closed"))?,
        None if host.contains(':') => return Err(invalid(entry, "an IPv6 address stands in brackets")),
        None => host,
    };
    if host.is_empty() {
        return Err(invalid(entry, "it has no host"));
    }
    match port.parse() {
        Ok(0) | Err(_) => Err(invalid(entry, "its port is not a number from 1 to 65535")),
        Ok(port) => Ok(Address { host: host.to_owned(), port }),
    }
}

fn invalid(given: &str, reason: &'static str) -> AdminError {
    AdminError::InvalidBootstrap { given: given.to_owned(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Vec<String> {
        parse_list(text).unwrap().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn lists_of_names_and_of_both_kinds_of_addresses_are_understood() {
        assert_eq!(parsed("localhost:9092"), ["localhost:9092"]);
        assert_eq!(parsed(" a:1 , ,127.0.0.1:65535,"), ["a:1", "127.0.0.1:65535"]);
        assert_eq!(parsed("[::1]:9092"), ["[::1]:9092"]);
    }

    #[test]
    fn entries_that_cannot_be_are_refused_with_the_rule_they_break() {
        for (text, expected) in [
            ("", "it is empty"),
            (" , ", "it is empty"),
            ("localhost", "it has no port"),
            (":9092", "it has no host"),
            ("[]:9092", "it has no host"),
            ("[::1:9092", "its bracket is not closed"),
            ("::1:9092", "an IPv6 address stands in brackets"),
            ("localhost:", "its port is not a number from 1 to 65535"),
            ("localhost:0", "its port is not a number from 1 to 65535"),
            ("localhost:65536", "its port is not a number from 1 to 65535"),
            ("good:9092,http://bad", "its port is not a number from 1 to 65535"),
        ] {
            match parse_list(text) {
                Err(AdminError::InvalidBootstrap { reason, .. }) => assert_eq!(reason, expected, "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        }
    }
}
