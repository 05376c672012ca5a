//! Bootstrap servers: from a text to hosts and ports, and back.
//!
//! In: `host:port,host:port`, from whoever connects to a cluster. Out: the list, or which entry is wrong and what was expected in its
//! place. Pure. Deliberately absent: name resolution.

use std::{collections::BTreeSet, net::Ipv6Addr};

/// An entry that is no server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    /// The entry.
    pub(crate) given: String,
    /// What was expected, in words that follow "expected".
    pub(crate) expected: String,
}

/// The servers of a list, each once. Empty entries are passed over, as in Java.
pub(crate) fn parse(text: &str) -> Result<Vec<(String, u16)>, Wrong> {
    let mut seen = BTreeSet::new();
    let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
    let read = |entry: &str| server(entry).map_err(|expected| Wrong { given: entry.to_owned(), expected });
    let servers = entries.map(read).collect::<Result<Vec<_>, _>>()?;
    Ok(servers.into_iter().filter(|server| seen.insert(server.clone())).collect())
}

/// Where a server listens, as it stands in a list.
pub(crate) fn shown(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

fn server(text: &str) -> Result<(String, u16), String> {
    if let Some((scheme, rest)) = text.split_once("://") {
        let bare = if server(rest).is_ok() { rest } else { "host:port" };
        return Err(format!("{bare}, without {scheme}://"));
    }
    if text.contains(|c: char| c.is_whitespace() || c == ';') {
        return Err("commas between servers, as in a:9092,b:9092".to_owned());
    }
    let (host, port) = text.rsplit_once(':').ok_or("host:port, as in localhost:9092 (the port is missing)")?;
    let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) if is_ipv6(address) => address,
        Some(_) => return Err("an IPv6 address between [ and ]".to_owned()),
        None if host.contains(':') => return Err("an IPv6 address in brackets and a port, as in [::1]:9092".to_owned()),
        None if is_host(host) => host,
        None => return Err("host:port, as in localhost:9092 (this is not a host's name)".to_owned()),
    };
    match port.parse() {
        Ok(port) if port > 0 => Ok((host.to_owned(), port)),
        _ => Err("host:port with a port from 1 to 65535".to_owned()),
    }
}

fn is_ipv6(text: &str) -> bool {
    let address = text.split_once('%').map_or(text, |(address, _scope)| address);
    address.parse::<Ipv6Addr>().is_ok()
}

fn is_host(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bootstrap_servers_are_hosts_with_ports_and_ipv6_addresses_stand_in_brackets() {
        let read = parse(" a:1, kafka-0.shop.internal:9092,,[::1]:9093,[fe80::1%eth0]:9092,a:1").unwrap();
        let names: Vec<_> = read.iter().map(|(host, port)| (host.as_str(), *port)).collect();
        assert_eq!(names, [("a", 1), ("kafka-0.shop.internal", 9092), ("::1", 9093), ("fe80::1%eth0", 9092)]);
        let shown: Vec<_> = names.iter().map(|(host, port)| shown(host, *port)).collect();
        assert_eq!(shown, ["a:1", "kafka-0.shop.internal:9092", "[::1]:9093", "[fe80::1%eth0]:9092"]);
        assert_eq!(parse(" , "), Ok(vec![]));
    }

    #[test]
    fn what_is_wrong_with_a_bootstrap_server_is_named() {
        for (text, expected) in [
            ("localhost", "the port is missing"),
            ("localhost:", "1 to 65535"),
            ("localhost:0", "1 to 65535"),
            ("localhost:65536", "1 to 65535"),
            ("localhost:kafka", "1 to 65535"),
            (":9092", "not a host's name"),
            ("\"local\":9092", "not a host's name"),
            ("PLAINTEXT://localhost:9092", "localhost:9092, without PLAINTEXT://"),
            ("http://localhost/", "host:port, without http://"),
            ("a:1 b:2", "commas between servers, as in a:9092,b:9092"),
            ("a:1;b:2", "commas between servers"),
            ("a b", "commas between servers"),
            ("::1:9092", "in brackets"),
            ("[::1:9092", "in brackets"),
            ("[]:9092", "between [ and ]"),
            ("[localhost]:9092", "between [ and ]"),
        ] {
            let wrong = parse(&format!("a:1,{text},b")).unwrap_err();
            assert_eq!(wrong.given, text, "the first that is wrong");
            assert!(wrong.expected.contains(expected), "{text}: {}", wrong.expected);
        }
    }
}
