//! The canonical names of `bootstrap.servers`.
//!
//! In: hosts with ports. Out: for each address of theirs the name that it has, with the port. Does input and output. Source: Java's
//! `ClientUtils.parseAndValidateAddresses`. A host that has no address is left as it is, so that a later attempt to connect says why.

use std::{collections::HashSet, io, net::IpAddr};

use tokio::{net::lookup_host, task::spawn_blocking};

/// The canonical names, each once. An address without a name stands for itself.
pub(super) async fn canonical(servers: Vec<(String, u16)>) -> Vec<(String, u16)> {
    let mut found = Vec::new();
    for (host, port) in servers {
        let addresses =
            lookup_host((host.as_str(), port)).await.map(|addresses| addresses.map(|address| address.ip()).collect());
        // The system's call blocks.
        let named =
            spawn_blocking(move || named(host, port, addresses, |address| dns_lookup::lookup_addr(address).ok())).await;
        found.extend(named.unwrap_or_default());
    }
    let mut seen = HashSet::new();
    found.retain(|server| seen.insert(server.clone()));
    found
}

fn named(
    host: String,
    port: u16,
    addresses: io::Result<Vec<IpAddr>>,
    name_of: impl Fn(&IpAddr) -> Option<String>,
) -> Vec<(String, u16)> {
    match addresses {
        Ok(addresses) if !addresses.is_empty() => {
            let name = |address: &IpAddr| name_of(address).unwrap_or_else(|| address.to_string());
            addresses.iter().map(|address| (name(address), port)).collect()
        }
        _ => vec![(host, port)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_stands_with_its_name_or_for_itself_and_an_unknown_host_stays() {
        let addresses = || Ok(vec!["10.0.0.1".parse().unwrap(), "10.0.0.2".parse().unwrap(), "::1".parse().unwrap()]);
        let name_of = |address: &IpAddr| match address.to_string().as_str() {
            "10.0.0.1" => Some("one.example".to_owned()),
            "10.0.0.2" => Some("two.example".to_owned()),
            _ => None,
        };
        let of = |addresses| named("all.example".to_owned(), 9092, addresses, name_of);
        let server = |host: &str| (host.to_owned(), 9092);
        assert_eq!(of(addresses()), [server("one.example"), server("two.example"), server("::1")]);
        assert_eq!(of(Err(io::ErrorKind::NotFound.into())), [server("all.example")]);
        assert_eq!(of(Ok(Vec::new())), [server("all.example")]);
    }

    #[tokio::test]
    async fn a_name_is_listed_once() {
        let twice = vec![
            ("127.0.0.1".to_owned(), 9092),
            ("127.0.0.1".to_owned(), 9092),
            ("no-such-host.invalid".to_owned(), 1),
        ];
        let found = canonical(twice).await;
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!((found[0].1, &*found[1].0), (9092, "no-such-host.invalid"));
    }
}
