//! HTTP in front of the Kafka producer milena.

mod config;
mod ids;
mod problem;
mod request;
mod status;

pub use config::{Config, Limits, SETTINGS, Setting};
pub use ids::RequestId;
pub use problem::{Kind, MEDIA_TYPE, Outcome, Problem};
pub use request::{MAX_EVENT_ID, Mode, SendMode, SendQuery, path_part, records_query, status_query};
pub use status::{Found, State, Statuses, Ticket};
