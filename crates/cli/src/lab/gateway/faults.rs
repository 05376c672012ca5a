//! What makes the way to Kafka fail: the embedded broker, or Toxiproxy.
//!
//! In: commands. Out: a way that is slow, broken, or as it was. Does I/O with Toxiproxy's HTTP API. The faults are the course's: its names, its
//! numbers, and answers only (Toxiproxy's stream "downstream").

use milena::broker::{EmbeddedBroker, Fault};
use serde_json::{Value, json};

use super::http;
use crate::{exit::CliError, trouble};

/// Toxiproxy's proxy before Kafka.
const TOXICS: &str = "/proxies/kafka/toxics";

/// Whoever makes faults.
#[derive(Debug)]
pub(super) enum Faults<'a> {
    Embedded(&'a EmbeddedBroker),
    /// Its API's address.
    Toxiproxy(String),
    /// A cluster that works.
    None,
}

impl<'a> Faults<'a> {
    pub(super) fn of(embedded: Option<&'a EmbeddedBroker>, toxiproxy: Option<&str>) -> Self {
        match (embedded, toxiproxy) {
            (Some(broker), _) => Self::Embedded(broker),
            (None, Some(address)) => Self::Toxiproxy(address.to_owned()),
            (None, None) => Self::None,
        }
    }

    /// Whether it can make any.
    pub(super) fn can_fail(&self) -> bool {
        !matches!(self, Self::None)
    }

    /// From now on answers are late.
    pub(super) async fn slow(&self) -> Result<(), CliError> {
        let latency = trouble::LATENCY.as_millis() as u64;
        let toxic = json!({"name": "latency", "type": "latency", "stream": "downstream",
            "attributes": {"latency": latency, "jitter": 0}});
        self.begin(trouble::slow(), &toxic).await
    }

    /// From now on no answer comes, and connections are closed.
    pub(super) async fn cut(&self) -> Result<(), CliError> {
        let toxic = json!({"name": "timeout", "type": "timeout", "stream": "downstream", "attributes": {"timeout": 1}});
        self.begin(trouble::cut(), &toxic).await
    }

    async fn begin(&self, fault: Fault, toxic: &Value) -> Result<(), CliError> {
        match self {
            Self::Embedded(broker) => {
                broker.inject(fault);
            }
            Self::Toxiproxy(address) => {
                let reply = http::post(address, TOXICS, Some(toxic)).await?;
                if reply.status != 200 {
                    let hint = "has it a proxy with the name kafka?";
                    return Err(CliError::Failed(format!("Toxiproxy refused {toxic}: {}; {hint}", reply.text.trim())));
                }
            }
            Self::None => {}
        }
        Ok(())
    }

    /// Ends every fault of ours.
    pub(super) async fn end(&self) -> Result<(), CliError> {
        match self {
            Self::Embedded(broker) => broker.heal(),
            Self::Toxiproxy(address) => {
                for name in ["latency", "timeout"] {
                    // 404: it is not there.
                    http::delete(address, &format!("{TOXICS}/{name}")).await?;
                }
            }
            Self::None => {}
        }
        Ok(())
    }
}
