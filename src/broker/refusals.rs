//! Log lines for requests that are refused, one for each client and kind of request.
//!
//! In: a client and the frame that is refused. Out: a line for the log, unless the client has had one. Pure. Apache Kafka closes
//! the connection, and the client does not learn why. The log tells.

use std::{collections::HashSet, fmt, net::IpAddr};

use bytes::Buf;
use kafka_protocol::messages::ApiKey;

use crate::wire::text::printable;

/// How many different refusals are logged. A client that makes up names cannot fill the log.
const MOST: usize = 1000;

/// A client, as far as its connection knows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Client {
    pub(super) address: IpAddr,
    /// Name and version of its software, which it sends in ApiVersions from version 3 on (KIP-511).
    pub(super) software: Option<String>,
}

/// The refusals that were logged.
#[derive(Debug, Default)]
pub(super) struct Refusals(HashSet<(Client, Asked)>);

impl Refusals {
    /// The log line for a frame that is refused, unless the same refusal of this client was logged before. A frame that cannot
    /// even be read is empty.
    pub(super) fn line(&mut self, client: &Client, frame: &[u8], wrong: &dyn fmt::Display) -> Option<String> {
        let asked = Asked::read(frame);
        let line = format!("{asked} from {client} refused, connection closed: {wrong}");
        (self.0.len() < MOST && self.0.insert((client.clone(), asked))).then_some(line)
    }
}

/// The start of a request's header, as far as the frame has it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Asked {
    api: Option<(i16, i16)>,
    client_id: Option<String>,
}

impl Asked {
    fn read(mut frame: &[u8]) -> Self {
        let bytes = &mut frame;
        let api = bytes.try_get_i16().ok().zip(bytes.try_get_i16().ok());
        let correlation_id = bytes.try_get_i32();
        let length = correlation_id.and_then(|_| bytes.try_get_i16()).ok();
        let id = length.and_then(|length| bytes.get(..usize::try_from(length).ok()?));
        Self { api, client_id: id.map(|id| printable(&String::from_utf8_lossy(id))) }
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((key, version)) = self.api else { return write!(f, "request") };
        let name = ApiKey::try_from(key).map_or_else(|_| String::new(), |api| format!("{api:?} "));
        let id = self.client_id.as_ref().map_or_else(String::new, |id| format!(", client id {id:?}"));
        write!(f, "{name}request (api key {key}, version {version}{id})")
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.software {
            Some(software) => write!(f, "{software} at {}", self.address),
            None => write!(f, "a client at {}", self.address),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::broker::api::Malformed;

    fn client(software: Option<&str>) -> Client {
        Client { address: Ipv4Addr::LOCALHOST.into(), software: software.map(str::to_owned) }
    }

    /// FindCoordinator in version 6, of client id "shop".
    const FRAME: &[u8] = b"\0\x0a\0\x06\0\0\0\x01\0\x04shop\0";

    #[test]
    fn a_refusal_names_client_software_api_version_and_what_is_wrong() {
        let unknown = Malformed::UnknownApi { key: 10 };
        let table: [(&[u8], Option<&str>, &str); 5] = [
            (
                FRAME,
                Some("librdkafka 2.16.1"),
                "FindCoordinator request (api key 10, version 6, client id \"shop\") from librdkafka 2.16.1 at 127.0.0.1 \
                 refused, connection closed: api key 10 is not served here",
            ),
            (&FRAME[..10], None, "FindCoordinator request (api key 10, version 6) from a client at 127.0.0.1"),
            (
                b"\x7f\xff\0\0\0\0\0\0\0\x02\n\xff",
                None,
                "request (api key 32767, version 0, client id \"\u{fffd}\u{fffd}\")",
            ),
            (b"\0\x0a\0\x06\0\0\0\0\xff\xff", None, "(api key 10, version 6) from a client"),
            (b"\0", None, "request from a client at 127.0.0.1 refused"),
        ];
        for (frame, software, expected) in table {
            let line = Refusals::default().line(&client(software), frame, &unknown).unwrap();
            assert!(line.contains(expected), "{line}");
        }
    }

    #[test]
    fn each_client_is_told_of_once_for_each_kind_of_request() {
        let mut refusals = Refusals::default();
        let mut told = |software, frame: &[u8]| {
            refusals.line(&client(software), frame, &Malformed::UnknownApi { key: 10 }).is_some()
        };
        let other_api = [b"\0\x0b", &FRAME[2..]].concat();
        let other_id = [&FRAME[..10], b"shoe"].concat();
        for (software, frame) in [(None, FRAME), (Some("x"), FRAME), (None, &other_api), (None, &other_id)] {
            assert_eq!([told(software, frame), told(software, frame)], [true, false]);
        }
    }

    #[test]
    fn a_peer_that_makes_up_names_fills_neither_memory_nor_the_log() {
        let mut refusals = Refusals::default();
        let frames = (0..2000_u16).map(|id| [b"\0\x0a\0\x06\0\0\0\x01\0\x02", &id.to_be_bytes()[..]].concat());
        let wrong = Malformed::UnknownApi { key: 10 };
        let told = frames.filter(|frame| refusals.line(&client(None), frame, &wrong).is_some()).count();
        assert!(told <= MOST, "{told}");
        assert!(refusals.0.len() <= MOST);
    }
}
